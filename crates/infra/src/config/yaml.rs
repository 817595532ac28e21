//! YAML as a tree whose nodes know their lines, bounded in depth and size. No tag is acted on, and an alias costs what it stands for.

use std::collections::BTreeMap;
use std::rc::Rc;

use saphyr_parser::{Event, Parser, ScalarStyle};

use super::foreign::Wrong;

/// How deep values may lie in each other.
const MAX_DEPTH: usize = 64;
/// The most values, those behind aliases counted each time.
const MAX_NODES: usize = 500_000;

/// One value.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) value: Value,
    /// The values in it, itself included.
    size: usize,
}

/// What a value is.
#[derive(Debug)]
pub(super) enum Value {
    Null,
    Text(String),
    List(Vec<Rc<Node>>),
    Map(Vec<Entry>),
}

/// One key with its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) line: usize,
    pub(super) value: Rc<Node>,
}

/// Something that has begun.
struct Open {
    line: usize,
    anchor: usize,
    value: Value,
    size: usize,
    /// The key whose value comes next.
    key: Option<(String, usize)>,
}

/// Reads a text that holds one document; `None` when it is empty.
pub(super) fn read(text: &str) -> Result<Option<Rc<Node>>, Wrong> {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|e| Wrong::at(e.marker().line().max(1), e.info().to_owned()))?;
        builder.take(event, span.start.line().max(1))?;
    }
    Ok(builder.root)
}

/// No value.
pub(super) fn nothing(line: usize) -> Rc<Node> {
    Rc::new(Node { line, value: Value::Null, size: 1 })
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: BTreeMap<usize, Rc<Node>>,
    root: Option<Rc<Node>>,
    documents: usize,
    nodes: usize,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, line: usize) -> Result<(), Wrong> {
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(Wrong::at(line, "a second document: one in each file"));
                }
                Ok(())
            }
            Event::Scalar(text, style, anchor, _) => {
                let null = style == ScalarStyle::Plain
                    && matches!(text.as_ref(), "" | "~" | "null" | "Null" | "NULL");
                let value = if null { Value::Null } else { Value::Text(text.into_owned()) };
                self.put(Node { line, value, size: 1 }, anchor)
            }
            Event::SequenceStart(anchor, _) => self.begin(Value::List(Vec::new()), anchor, line),
            Event::MappingStart(anchor, _) => self.begin(Value::Map(Vec::new()), anchor, line),
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => {
                let node = self.anchors.get(&anchor).cloned();
                let node = node.ok_or_else(|| Wrong::at(line, "an alias of something that has not ended"))?;
                self.add(node, line)
            }
            _ => Ok(()),
        }
    }

    fn begin(&mut self, value: Value, anchor: usize, line: usize) -> Result<(), Wrong> {
        if self.open.len() >= MAX_DEPTH {
            return Err(Wrong::at(line, format!("values lie more than {MAX_DEPTH} deep in each other")));
        }
        self.open.push(Open { line, anchor, value, size: 1, key: None });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Wrong> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let value = match open.value {
            Value::Map(entries) => Value::Map(merged(entries, open.line)?),
            other => other,
        };
        self.put(Node { line: open.line, value, size: open.size }, open.anchor)
    }

    fn put(&mut self, node: Node, anchor: usize) -> Result<(), Wrong> {
        let line = node.line;
        let node = Rc::new(node);
        if anchor > 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        self.add(node, line)
    }

    /// Puts a whole value where it belongs.
    fn add(&mut self, node: Rc<Node>, line: usize) -> Result<(), Wrong> {
        // Each level counts its own, so deep files cost their depth; that only makes the bound a little tighter.
        self.nodes = self.nodes.saturating_add(node.size);
        let size = node.size;
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        open.size = open.size.saturating_add(size);
        if open.size > MAX_NODES || self.nodes > MAX_NODES.saturating_mul(8) {
            return Err(Wrong::at(line, format!("more than {MAX_NODES} values, aliases counted each time")));
        }
        match &mut open.value {
            Value::List(items) => items.push(node),
            Value::Map(entries) => match (open.key.take(), &node.value) {
                (Some((key, line)), _) => entries.push(Entry { key, line, value: node }),
                (None, Value::Text(text)) => open.key = Some((text.clone(), line)),
                (None, Value::Null) => open.key = Some(("null".to_owned(), line)),
                (None, _) => return Err(Wrong::at(line, "a key that is a list or an object")),
            },
            Value::Null | Value::Text(_) => {}
        }
        Ok(())
    }
}

/// Refuses a key that is there twice, and puts in what `<<` brings.
fn merged(entries: Vec<Entry>, line: usize) -> Result<Vec<Entry>, Wrong> {
    let mut all: BTreeMap<String, usize> = BTreeMap::new();
    let (brought, mut own): (Vec<Entry>, Vec<Entry>) = entries.into_iter().partition(|e| e.key == "<<");
    for entry in &own {
        if all.insert(entry.key.clone(), entry.line).is_some() {
            return Err(Wrong::at(entry.line, format!("the key {:?} is there twice", entry.key)));
        }
    }
    for merge in brought {
        let maps: Vec<Rc<Node>> = match &merge.value.value {
            Value::List(items) => items.clone(),
            _ => vec![Rc::clone(&merge.value)],
        };
        for map in maps {
            let Value::Map(entries) = &map.value else {
                return Err(Wrong::at(merge.line.max(line), "<< brings something that has no keys"));
            };
            for entry in entries {
                if !all.contains_key(&entry.key) {
                    all.insert(entry.key.clone(), entry.line);
                    own.push(entry.clone());
                }
            }
        }
    }
    Ok(own)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_an_alias_stands_for_counts_each_time() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..12 {
            let before = format!("*a{}", n - 1);
            text.push_str(&format!("a{n}: &a{n} [{}]\n", vec![before; 9].join(", ")));
        }
        let wrong = read(&text).unwrap_err();
        assert!(wrong.cause.contains("more than 500000 values") && wrong.line < 9, "{wrong:?}");
        let deep = format!("{}{}", "[".repeat(80), "]".repeat(80));
        assert!(read(&deep).unwrap_err().cause.contains("deep"));
    }

    #[test]
    fn keys_are_unique_and_merged() {
        assert_eq!(read("a: 1\nb: 2\na: 3\n").unwrap_err(), Wrong::at(3, "the key \"a\" is there twice"));
        let node = read("base: &b {x: 1, y: 2}\nown:\n  <<: *b\n  y: 3\n").unwrap().unwrap();
        let Value::Map(top) = &node.value else { unreachable!() };
        let Value::Map(own) = &top[1].value.value else { unreachable!() };
        let pairs: Vec<(&str, &Value)> = own.iter().map(|e| (e.key.as_str(), &e.value.value)).collect();
        assert!(
            matches!(pairs.as_slice(), [("y", Value::Text(y)), ("x", Value::Text(x))] if y == "3" && x == "1"),
            "{pairs:?}"
        );
        assert!(read("a: 1\n---\nb: 1\n").unwrap_err().cause.contains("second document"));
        assert!(read("").unwrap().is_none());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[a-c:&*\\[\\]{},<'\"|>#! \n-]{0,80}") {
            let lines = text.lines().count() + 1;
            if let Err(wrong) = read(&text) {
                prop_assert!((1..=lines).contains(&wrong.line), "{:?}", wrong);
            }
        }
    }
}
