//! The content security policy of a page: its own script and style, pictures within it, and nothing else.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use disyre_core::sha256_of_bytes;

/// The policy that lets one style and one script act: neither the network nor what a file's name may bring in.
pub(crate) fn policy(style: &str, script: &str) -> String {
    let (style, script) = (source(style), source(script));
    format!(
        "default-src 'none'; img-src data:; style-src {style}; script-src {script}; base-uri 'none'; form-action 'none'"
    )
}

/// A text by its hash, as policies name it.
fn source(text: &str) -> String {
    let hash = sha256_of_bytes(text.as_bytes());
    let digit = |byte: u8| (byte as char).to_digit(16).unwrap_or(0) as u8;
    let bytes: Vec<u8> = hash
        .as_bytes()
        .as_chunks::<2>()
        .0
        .iter()
        .map(|&[high, low]| digit(high) * 16 + digit(low))
        .collect();
    format!("'sha256-{}'", STANDARD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_named_by_its_hash() {
        // `printf %s "alert('Hello, world.');" | openssl dgst -sha256 -binary | base64`; also the example of CSP level 2.
        let expected = "'sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng='";
        assert_eq!(source("alert('Hello, world.');"), expected);
    }
}
