//! Stripe's request encoding: `application/x-www-form-urlencoded` with nesting in the names (`a[b]`, `a[]`, `a[0][b]`),
//! the same for bodies and query strings, brackets literal or percent-encoded.
//!
//! Invariant: parsing keeps what was sent (leaves are strings, order of a list is the order sent); meaning, bounds and the
//! refusal of unknown names are the caller's, through [`Form::only`] and the typed accessors.

use super::failure::Failure;
use percent_encoding::percent_decode_str;
use std::collections::BTreeMap;

/// Most metadata keys an object may carry.
const METADATA_KEYS: usize = 50;
/// Longest metadata key, in characters.
const METADATA_KEY: usize = 40;
/// Longest metadata value, in characters.
const METADATA_VALUE: usize = 500;

/// A name's value: text, or more names below it. List indexes are names that happen to be numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    Leaf(String),
    Branch(Vec<(String, Node)>),
}

/// The parameters of one request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Form(Vec<(String, Node)>);

impl Form {
    /// Parses an encoded body or query string. Errors: a malformed name (unbalanced bracket) or invalid UTF-8.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let mut root = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decode(name)?, decode(value)?);
            insert(&mut root, &split_name(&name)?, value, &name)?;
        }
        Ok(Self(root))
    }

    /// Refuses every parameter whose path is not in `known`. A pattern is a path (`amount`, `address[city]`), a list
    /// (`expand[]`), or everything below a name (`metadata[*]`, which also admits `metadata=`).
    pub fn only(&self, known: &[&str]) -> Result<(), Failure> {
        for (path, _) in self.flat() {
            if !known.iter().any(|pattern| admits(pattern, &path)) {
                return Err(Failure::unknown_parameter(&path));
            }
        }
        Ok(())
    }

    /// Every leaf as (path, value) in the order sent, lists numbered: the canonical form that idempotency compares.
    pub fn flat(&self) -> Vec<(String, String)> {
        let mut out = Vec::new();
        for (name, node) in &self.0 {
            flatten(name, node, &mut out);
        }
        out
    }

    fn node(&self, name: &str) -> Option<&Node> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, node)| node)
    }

    /// Whether the name was sent at all, with whatever value.
    pub fn has(&self, name: &str) -> bool {
        self.node(name).is_some()
    }

    /// The text of `name`, `None` when absent or empty (an empty string unsets).
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.node(name) {
            Some(Node::Leaf(text)) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    /// The text of `name`, refused as `parameter_missing` when absent.
    pub fn required(&self, name: &str) -> Result<&str, Failure> {
        self.text(name).ok_or_else(|| Failure::missing_parameter(name))
    }

    /// An integer in minor units, seconds or counts.
    pub fn integer(&self, name: &str) -> Result<Option<i64>, Failure> {
        let Some(text) = self.text(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| Failure::invalid_integer(name, text))
    }

    /// `true` or `false`; anything else is refused.
    pub fn boolean(&self, name: &str) -> Result<Option<bool>, Failure> {
        match self.text(name) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(other) => Err(Failure::invalid(name, &format!("Invalid boolean: {other}"))),
        }
    }

    /// One of `allowed`.
    pub fn choice(&self, name: &str, allowed: &[&str]) -> Result<Option<&str>, Failure> {
        match self.text(name) {
            Some(text) if !allowed.contains(&text) => {
                Err(Failure::invalid(name, &format!("Invalid {name}: must be one of {}", allowed.join(", "))))
            }
            other => Ok(other),
        }
    }

    /// The texts of a list, however it was written (`a[]`, `a[0]`, or one bare `a`).
    pub fn list(&self, name: &str) -> Vec<&str> {
        match self.node(name) {
            Some(Node::Leaf(text)) if !text.is_empty() => vec![text.as_str()],
            Some(Node::Branch(items)) => items
                .iter()
                .filter_map(|(_, node)| if let Node::Leaf(text) = node { Some(text.as_str()) } else { None })
                .collect(),
            _ => Vec::new(),
        }
    }

    /// The parameters below `name` (`created` of `created[gte]=…`), empty when there are none.
    pub fn nested(&self, name: &str) -> Form {
        match self.node(name) {
            Some(Node::Branch(items)) => Form(items.clone()),
            _ => Form::default(),
        }
    }

    /// Applies `metadata[…]` to what an object has: an empty value removes a key, an empty `metadata` removes all.
    pub fn metadata(&self, current: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, Failure> {
        let mut out = current.clone();
        match self.node("metadata") {
            None => {}
            Some(Node::Leaf(text)) if text.is_empty() => out.clear(),
            Some(Node::Leaf(_)) => return Err(Failure::invalid("metadata", "Invalid object")),
            Some(Node::Branch(items)) => {
                for (key, node) in items {
                    let Node::Leaf(value) = node else {
                        return Err(Failure::invalid("metadata", "Metadata values must be strings."));
                    };
                    set_metadata(&mut out, key, value)?;
                }
            }
        }
        if out.len() > METADATA_KEYS {
            return Err(Failure::invalid("metadata", "You can specify at most 50 metadata keys."));
        }
        Ok(out)
    }
}

fn set_metadata(out: &mut BTreeMap<String, String>, key: &str, value: &str) -> Result<(), Failure> {
    if key.chars().count() > METADATA_KEY {
        return Err(Failure::invalid("metadata", "Metadata keys can be at most 40 characters long."));
    }
    if value.chars().count() > METADATA_VALUE {
        return Err(Failure::invalid("metadata", "Metadata values can be at most 500 characters long."));
    }
    if value.is_empty() {
        out.remove(key);
    } else {
        out.insert(key.to_owned(), value.to_owned());
    }
    Ok(())
}

fn decode(text: &str) -> Result<String, Failure> {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced)
        .decode_utf8()
        .map(|text| text.into_owned())
        .map_err(|_| Failure::request("Invalid request: parameters must be UTF-8."))
}

/// `a[b][]` becomes `a`, `b`, ``; an unbalanced bracket is refused.
fn split_name(name: &str) -> Result<Vec<String>, Failure> {
    let bad = || Failure::request(&format!("Invalid request: malformed parameter name `{name}`."));
    let Some(open) = name.find('[') else { return Ok(vec![name.to_owned()]) };
    let (head, mut rest) = name.split_at(open);
    if head.is_empty() {
        return Err(bad());
    }
    let mut parts = vec![head.to_owned()];
    while !rest.is_empty() {
        let inner = rest.strip_prefix('[').ok_or_else(bad)?;
        let close = inner.find(']').ok_or_else(bad)?;
        parts.push(inner[..close].to_owned());
        rest = &inner[close + 1..];
    }
    Ok(parts)
}

fn insert(level: &mut Vec<(String, Node)>, path: &[String], value: String, full: &str) -> Result<(), Failure> {
    let Some((first, rest)) = path.split_first() else { return Ok(()) };
    // `[]` appends: its index is the number of items so far.
    let name = if first.is_empty() { level.len().to_string() } else { first.clone() };
    let index = match level.iter().position(|(key, _)| *key == name) {
        Some(index) => index,
        None => {
            level.push((name, if rest.is_empty() { Node::Leaf(String::new()) } else { Node::Branch(Vec::new()) }));
            level.len() - 1
        }
    };
    match (&mut level[index].1, rest.is_empty()) {
        (Node::Leaf(slot), true) => {
            *slot = value;
            Ok(())
        }
        (Node::Branch(items), false) => insert(items, rest, value, full),
        _ => Err(Failure::invalid(full, "Invalid object: sent both as a value and as an object.")),
    }
}

fn flatten(path: &str, node: &Node, out: &mut Vec<(String, String)>) {
    match node {
        Node::Leaf(text) => out.push((path.to_owned(), text.clone())),
        Node::Branch(items) => {
            for (name, node) in items {
                flatten(&format!("{path}[{name}]"), node, out);
            }
        }
    }
}

fn admits(pattern: &str, path: &str) -> bool {
    if let Some(name) = pattern.strip_suffix("[*]") {
        return path == name || path.strip_prefix(name).is_some_and(|rest| rest.starts_with('['));
    }
    if let Some(name) = pattern.strip_suffix("[]") {
        let index = path.strip_prefix(name).and_then(|rest| rest.strip_prefix('[')?.strip_suffix(']'));
        return path == name || index.is_some_and(|index| index.chars().all(|c| c.is_ascii_digit()));
    }
    pattern == path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_way_of_nesting() {
        let form = Form::parse(
            "amount=5500&metadata%5Border_id%5D=a-0-0&automatic_payment_methods[enabled]=true&expand[]=x&expand[]=y\
             &items[0][price]=p+1&items[1][price]=p%2F2&flag",
        )
        .unwrap();
        assert_eq!(form.integer("amount").unwrap(), Some(5500));
        assert_eq!(form.list("expand"), ["x", "y"]);
        assert_eq!(form.nested("automatic_payment_methods").boolean("enabled").unwrap(), Some(true));
        assert_eq!(form.metadata(&BTreeMap::new()).unwrap()["order_id"], "a-0-0");
        assert_eq!(form.nested("items").nested("0").text("price"), Some("p 1"));
        assert_eq!(form.nested("items").nested("1").text("price"), Some("p/2"));
        assert!(form.has("flag") && form.text("flag").is_none());
        assert_eq!(Form::parse("expand[0]=x&expand[1]=y").unwrap().list("expand"), ["x", "y"]);
    }

    #[test]
    fn refuses_malformed_names_and_unknown_parameters() {
        assert!(Form::parse("a[b=1").is_err());
        assert!(Form::parse("[b]=1").is_err());
        assert!(Form::parse("a=1&a[b]=2").is_err());
        let form = Form::parse("metadata[any][thing]=1&expand[0]=x&amount=1&address[city]=Seoul").unwrap();
        assert!(form.only(&["metadata[*]", "expand[]", "amount", "address[city]"]).is_ok());
        let refused = form.only(&["metadata[*]", "expand[]", "address[city]"]).unwrap_err();
        assert_eq!(refused.field("code"), Some("parameter_unknown"));
        assert_eq!(refused.field("param"), Some("amount"));
        assert!(form.only(&["metadata[*]", "expand[]", "amount"]).is_err());
    }

    #[test]
    fn metadata_merges_unsets_and_has_bounds() {
        let had = BTreeMap::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())]);
        let merged = Form::parse("metadata[a]=&metadata[c]=3").unwrap().metadata(&had).unwrap();
        assert_eq!(merged.keys().collect::<Vec<_>>(), ["b", "c"]);
        assert!(Form::parse("metadata=").unwrap().metadata(&had).unwrap().is_empty());
        let long = format!("metadata[{}]=x", "k".repeat(41));
        assert!(Form::parse(&long).unwrap().metadata(&had).is_err());
    }
}
