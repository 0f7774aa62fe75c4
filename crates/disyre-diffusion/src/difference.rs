//! The first field in which two settings differ, for errors that name it.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// Path and both values of the first field that differs, fields in order of name; those of `free` may differ.
pub(crate) fn first_difference(
    a: &Value,
    b: &Value,
    free: &[&str],
) -> Option<(String, String, String)> {
    below("", a, b, free)
}

fn below(path: &str, a: &Value, b: &Value, free: &[&str]) -> Option<(String, String, String)> {
    if let (Value::Object(a), Value::Object(b)) = (a, b) {
        let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
        let field = |name: &String| {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            let value = |map: &Map<String, Value>| map.get(name).cloned().unwrap_or_default();
            below(&path, &value(a), &value(b), free)
        };
        return names.into_iter().find_map(field);
    }
    let differs = a != b && !free.contains(&path);
    differs.then(|| (path.to_owned(), a.to_string(), b.to_string()))
}
