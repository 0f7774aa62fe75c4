//! Gzip streams as the `gzip` program reads them: several members, zero padding, and bytes behind the last member.
use std::io::{self, BufRead, ErrorKind, Read};

use flate2::bufread::GzDecoder;

/// Contents of all members of a gzip stream, one after the other.
///
/// Zeros between and behind members are padding, as tapes and some copying programs leave it. Other bytes behind a member
/// end the stream, as they do for `gzip` and zlib: a checksum has vouched for all that came before them.
pub(super) struct GzipMembers<R> {
    member: Member<R>,
}

enum Member<R> {
    /// Before the header of a member.
    Between(R),
    Open(GzDecoder<R>),
    /// At the end.
    Ended,
}

impl<R: BufRead> GzipMembers<R> {
    /// Begins at the header of the first member.
    pub(super) fn new(file: R) -> Self {
        Self { member: Member::Open(GzDecoder::new(file)) }
    }
}

impl<R: BufRead> Read for GzipMembers<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            self.member = match std::mem::replace(&mut self.member, Member::Ended) {
                Member::Ended => return Ok(0),
                Member::Between(mut file) => match at_member(&mut file)? {
                    true => Member::Open(GzDecoder::new(file)),
                    false => Member::Ended,
                },
                Member::Open(mut decoder) => {
                    let count = decoder.read(buffer);
                    if !matches!(count, Ok(0)) {
                        self.member = Member::Open(decoder);
                        return count;
                    }
                    Member::Between(decoder.into_inner())
                }
            };
        }
    }
}

/// Skips zeros. True if the header of a member follows.
fn at_member(file: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let bytes = match file.fill_buf() {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let (zeros, end) = (bytes.iter().take_while(|&&byte| byte == 0).count(), bytes.len());
        // The second byte of the magic may not be in the buffer yet; the decoder then refuses another one.
        let second = bytes.get(zeros + 1).is_none_or(|&byte| byte == 0x8b);
        let follows = bytes.get(zeros) == Some(&0x1f) && second;
        file.consume(zeros);
        if zeros < end || end == 0 {
            return Ok(follows);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, GzBuilder};
    use std::io::{BufReader, Write};

    fn member(bytes: &[u8]) -> Vec<u8> {
        let mut out = GzBuilder::new().write(Vec::new(), Compression::new(6));
        out.write_all(bytes).unwrap();
        out.finish().unwrap()
    }

    /// Reads with a buffer of so many bytes.
    fn read(bytes: &[u8], capacity: usize) -> io::Result<Vec<u8>> {
        let mut contents = Vec::new();
        let mut members = GzipMembers::new(BufReader::with_capacity(capacity, bytes));
        members.read_to_end(&mut contents)?;
        Ok(contents)
    }

    #[test]
    fn zeros_between_and_behind_members_are_padding() {
        let stream = [member(b"one, "), vec![0; 700], member(b""), member(b"two"), vec![0; 1536]];
        for capacity in [1, 7, 64, 4096] {
            assert_eq!(read(&stream.concat(), capacity).unwrap(), b"one, two");
        }
    }

    #[test]
    fn other_bytes_behind_a_member_end_the_stream() {
        for tail in [&b"garbage"[..], b"\0\0more", b"\x1e\x8b"] {
            let stream = [member(b"one"), tail.to_vec()].concat();
            for capacity in [1, 64] {
                assert_eq!(read(&stream, capacity).unwrap(), b"one");
            }
        }
    }

    #[test]
    fn a_second_member_that_is_damaged_or_cut_is_an_error() {
        let mut second = member(b"two");
        let last = second.len() - 6;
        second[last] ^= 1; // its checksum
        assert!(read(&[member(b"one"), second.clone()].concat(), 64).is_err());
        second.truncate(12);
        assert!(read(&[member(b"one"), second].concat(), 64).is_err());
    }
}
