//! [`Words`]: words of a command line, as bash reads them back.

use std::ffi::{OsStr, OsString};
use std::fmt;

/// Words of a command line. Displayed, they are quoted for bash.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Words(Vec<OsString>);

impl Words {
    pub(crate) fn new<T: Into<OsString>>(words: impl IntoIterator<Item = T>) -> Self {
        Self(words.into_iter().map(Into::into).collect())
    }

    pub(crate) fn extend<T: Into<OsString>>(&mut self, words: impl IntoIterator<Item = T>) {
        self.0.extend(words.into_iter().map(Into::into));
    }

    /// These words and others.
    pub(crate) fn with<T: Into<OsString>>(&self, words: impl IntoIterator<Item = T>) -> Self {
        let mut all = self.clone();
        all.extend(words);
        all
    }

    /// These words and others.
    pub(crate) fn with_all(&self, others: &Self) -> Self {
        self.with(others.0.clone())
    }
}

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted: Vec<String> = self.0.iter().map(|word| quoted(word)).collect();
        f.write_str(&quoted.join(" "))
    }
}

/// A word on one line that bash reads as it was: as it is, within '…', or within $'…' where it has control characters or
/// bytes that are not UTF-8.
pub(crate) fn quoted(word: &OsStr) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_./:,+@%=-".contains(byte);
    match word.to_str() {
        Some(text) if !text.is_empty() && text.bytes().all(|byte| plain(&byte)) => text.to_owned(),
        Some(text) if !text.contains(char::is_control) => {
            format!("'{}'", text.replace('\'', r"'\''"))
        }
        _ => {
            let byte = |byte: &u8| match plain(byte) {
                true => char::from(*byte).to_string(),
                false => format!("\\x{byte:02x}"),
            };
            format!("$'{}'", word.as_encoded_bytes().iter().map(byte).collect::<String>())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_bash_would_change_them() {
        let of = |word: &str| quoted(OsStr::new(word));
        assert_eq!(of("a/b-1_c.nii"), "a/b-1_c.nii");
        assert_eq!(of(""), "''");
        assert_eq!(of("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(of("a\nb"), r"$'a\x0ab'");
        assert_eq!(Words::new(["a b", "c"]).to_string(), "'a b' c");
    }

    #[cfg(unix)]
    #[test]
    fn bash_reads_back_any_word() {
        use std::os::unix::ffi::OsStrExt;
        let words: [&[u8]; 9] = [
            b"a b",
            b"'",
            b"\"$(x)`y`\"",
            b"\\n",
            b"\n\t",
            b"\xfc{}*?[1]~",
            b"~",
            b"-x;&|",
            "é'ü".as_bytes(),
        ];
        for word in words {
            let script = format!("printf %s {}", quoted(OsStr::from_bytes(word)));
            let read = std::process::Command::new("bash").args(["-c", &script]).output().unwrap();
            assert_eq!(read.stdout, word, "{script}");
        }
    }
}
