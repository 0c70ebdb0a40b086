//! Trees of XML answers: elements and attributes by their names without prefixes. Bounded, since an answer of a
//! few bytes can nest deeply.

use quick_xml::Reader;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesStart, Event};

use crate::error::{Error, Result};

const MAX_DEPTH: usize = 64;
const MAX_ELEMENTS: usize = 5_000_000;

#[derive(Debug, Default, PartialEq)]
pub(super) struct Element {
    pub(super) name: String,
    pub(super) attributes: Vec<(String, String)>,
    /// Without what stands in the elements within.
    pub(super) text: String,
    pub(super) children: Vec<Element>,
}

impl Element {
    /// The root of a document.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        let text = std::str::from_utf8(bytes).map_err(|_| wrong("it is not UTF-8"))?;
        let mut reader = Reader::from_str(text);
        let mut open = vec![Element::default()];
        let mut count = 0;
        loop {
            let event = reader.read_event().map_err(|error| wrong(&error.to_string()))?;
            count += usize::from(matches!(event, Event::Start(_) | Event::Empty(_)));
            if open.len() > MAX_DEPTH || count > MAX_ELEMENTS {
                return Err(wrong("it has too many elements"));
            }
            let within = open.last_mut().expect("the document is never closed");
            match event {
                Event::Start(start) => open.push(Element::begun(&start)?),
                Event::Empty(start) => within.children.push(Element::begun(&start)?),
                Event::End(_) => {
                    let element = open.pop().expect("the document is never closed");
                    let within =
                        open.last_mut().ok_or_else(|| wrong("it ends an element that it did not begin"))?;
                    within.children.push(element);
                }
                Event::Text(part) => within.text.push_str(&part.decode().map_err(|e| wrong(&e.to_string()))?),
                Event::CData(part) => within.text.push_str(&part.decode().map_err(|e| wrong(&e.to_string()))?),
                Event::GeneralRef(reference) => {
                    let named = reference.decode().map_err(|e| wrong(&e.to_string()))?;
                    match reference.resolve_char_ref().map_err(|e| wrong(&e.to_string()))? {
                        Some(letter) => within.text.push(letter),
                        None => within.text.push_str(resolve_xml_entity(&named).unwrap_or_default()),
                    }
                }
                Event::Eof => break,
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
            }
        }
        let [document] = open.as_mut_slice() else { return Err(wrong("it ends within an element")) };
        document.children.pop().ok_or_else(|| wrong("it has no element"))
    }

    fn begun(start: &BytesStart<'_>) -> Result<Self> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut attributes = vec![];
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|error| wrong(&error.to_string()))?;
            attributes.push((text(attribute.key.local_name().as_ref()), text(&attribute.value)));
        }
        Ok(Self { name: text(start.local_name().as_ref()), attributes, ..Self::default() })
    }

    pub(super) fn attribute(&self, name: &str) -> &str {
        self.attributes.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    pub(super) fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The text of a child that has one.
    pub(super) fn text_of(&self, name: &str) -> Option<&str> {
        self.child(name).map(|child| child.text.trim()).filter(|text| !text.is_empty())
    }

    /// The items of a list that is a child.
    pub(super) fn items(&self, name: &str) -> impl Iterator<Item = &Element> {
        self.child(name).into_iter().flat_map(|list| &list.children)
    }
}

fn wrong(why: &str) -> Error {
    Error::bad_input(format!("the answer is not XML: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements() {
        let text = "<?xml version=\"1.0\"?>\n<a:r xmlns=\"x\"><n x:on=\"true\">1 &lt;&#65;</n><e/><l><item>x</item><item><![CDATA[<y>]]>\
                    </item></l></a:r>";
        let root = Element::parse(text.as_bytes()).unwrap();
        assert_eq!(root.name, "r");
        assert_eq!(root.text_of("n"), Some("1 <A"));
        assert_eq!(root.child("n").map(|n| (n.attribute("on"), n.attribute("off"))), Some(("true", "")));
        assert_eq!(root.text_of("e"), None);
        assert_eq!(root.items("l").map(|item| item.text.as_str()).collect::<Vec<_>>(), ["x", "<y>"]);
        assert_eq!(root.items("none").count(), 0);
    }

    #[test]
    fn texts_that_are_none() {
        for text in ["", "x", "<a>", "<a></b>", "</a>", &"<a>".repeat(100)] {
            assert!(Element::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
