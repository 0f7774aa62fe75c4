//! [`Shard`]: a part of the cases of a cohort, so that several runs share the work.

use std::str::FromStr;

/// Part `index` of `count` of a cohort: every `count`-th case, from the `index`-th on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shard {
    /// From 1 to `count`.
    index: usize,
    count: usize,
}

impl Shard {
    /// Part `index` of `count`, where there is one.
    pub(crate) fn new(index: usize, count: usize) -> Option<Self> {
        (1..=count).contains(&index).then_some(Self { index, count })
    }

    /// The cases of this part.
    pub(crate) fn of<T>(self, cases: Vec<T>) -> Vec<T> {
        cases.into_iter().skip(self.index - 1).step_by(self.count).collect()
    }

    /// Name of the file that records its cases.
    pub(crate) fn file(self) -> String {
        format!("manifest-{}-of-{}.jsonl", self.index, self.count)
    }

    /// The part whose cases are recorded in a file of this name.
    pub(crate) fn of_file(name: &str) -> Option<Self> {
        let numbers = name.strip_prefix("manifest-")?.strip_suffix(".jsonl")?;
        let shard: Self = numbers.replacen("-of-", "/", 1).parse().ok()?;
        (shard.file() == name).then_some(shard)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/').map(|(index, count)| (index.parse(), count.parse()));
        let shard = match numbers {
            Some((Ok(index), Ok(count))) => Self::new(index, count),
            _ => None,
        };
        shard.ok_or_else(|| "expected K/N with K from 1 to N, such as 1/4".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_case_is_in_one_part() {
        let parts = ["1/3", "2/3", "3/3"].map(|text| text.parse::<Shard>().unwrap());
        let cases: Vec<u32> = (0..7).collect();
        let parts = parts.map(|part| part.of(cases.clone()));
        assert_eq!(parts, [vec![0, 3, 6], vec![1, 4], vec![2, 5]]);
        assert!("5/9".parse::<Shard>().unwrap().of(vec![1, 2]).is_empty());
    }

    #[test]
    fn parts_that_cannot_be_are_refused() {
        for text in ["0/3", "4/3", "1", "1/", "/2", "a/2", "1/0", "-1/2", "1/2/3", ""] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_part_is_known_by_the_name_of_its_file() {
        let shard: Shard = "2/12".parse().unwrap();
        assert_eq!(shard.file(), "manifest-2-of-12.jsonl");
        assert_eq!(Shard::of_file("manifest-2-of-12.jsonl"), Some(shard));
        for name in ["manifest.jsonl", "manifest-0-of-2.jsonl", "manifest-02-of-12.jsonl"] {
            assert_eq!(Shard::of_file(name), None, "{name}");
        }
    }
}
