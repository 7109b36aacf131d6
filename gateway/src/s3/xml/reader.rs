//! A strict and bounded reader of the XML that clients send.
//!
//! A document becomes a small tree, from which its reader takes what it knows; whatever is left over
//! is `MalformedXML`, as at AWS. Bounded are the depth and the number of elements (and, before this,
//! the bytes). There are no DTDs and no entities but XML's own five, so nothing expands. Namespaces
//! and attributes are not looked at: AWS takes documents with and without.

use quick_xml::Reader;
use quick_xml::events::{BytesRef, Event};

use crate::s3::error::S3Error;

/// How deep elements may be nested. S3's own documents reach 4.
const MAX_DEPTH: usize = 20;
/// How many elements a document may have: 10,000 parts of 9 elements, and some.
const MAX_ELEMENTS: usize = 100_000;

/// An element: its name, what is in it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Element {
    name: String,
    text: String,
    children: Vec<Element>,
}

impl Element {
    /// Reads a document whose root has this name.
    ///
    /// # Errors
    /// `MalformedXML`.
    pub fn parse(document: &[u8], root: &str) -> Result<Self, S3Error> {
        let document = document.strip_prefix(BYTE_ORDER_MARK).unwrap_or(document);
        let text = std::str::from_utf8(document).map_err(|_| S3Error::malformed_xml())?;
        let element = build(text)?;
        if element.name == root {
            Ok(element)
        } else {
            Err(S3Error::malformed_xml())
        }
    }

    /// Takes out all children of this name, in order.
    pub fn take_all(&mut self, name: &str) -> Vec<Self> {
        let (taken, left) = std::mem::take(&mut self.children)
            .into_iter()
            .partition(|child| child.name == name);
        self.children = left;
        taken
    }

    /// Takes out the child of this name, if there is one.
    ///
    /// # Errors
    /// `MalformedXML` if there are several.
    pub fn take(&mut self, name: &str) -> Result<Option<Self>, S3Error> {
        let mut found = self.take_all(name).into_iter();
        match (found.next(), found.next()) {
            (first, None) => Ok(first),
            _ => Err(S3Error::malformed_xml()),
        }
    }

    /// Takes out the text of the child of this name, if there is one.
    ///
    /// # Errors
    /// `MalformedXML` if there are several, or if it has elements in it.
    pub fn take_text(&mut self, name: &str) -> Result<Option<String>, S3Error> {
        self.take(name)?.map(Self::into_text).transpose()
    }

    /// Takes out the texts of all children of this name, in order.
    ///
    /// # Errors
    /// `MalformedXML` if one has elements in it.
    pub fn take_texts(&mut self, name: &str) -> Result<Vec<String>, S3Error> {
        self.take_all(name)
            .into_iter()
            .map(Self::into_text)
            .collect()
    }

    /// Takes out the text of the child of this name.
    ///
    /// # Errors
    /// `MalformedXML` as [`Self::take_text`], and if there is none.
    pub fn require_text(&mut self, name: &str) -> Result<String, S3Error> {
        self.take_text(name)?.ok_or_else(S3Error::malformed_xml)
    }

    /// Says that all has been taken.
    ///
    /// # Errors
    /// `MalformedXML` if an element is left over, or text that is not white space.
    pub fn finish(self) -> Result<(), S3Error> {
        if self.children.is_empty() && self.text.trim().is_empty() {
            Ok(())
        } else {
            Err(S3Error::malformed_xml())
        }
    }

    fn into_text(self) -> Result<String, S3Error> {
        if self.children.is_empty() {
            Ok(self.text)
        } else {
            Err(S3Error::malformed_xml())
        }
    }
}

fn build(document: &str) -> Result<Element, S3Error> {
    let mut reader = Reader::from_str(document);
    reader.config_mut().expand_empty_elements = true;
    let mut builder = Builder::default();
    loop {
        match reader.read_event().map_err(|_| S3Error::malformed_xml())? {
            Event::Start(start) => builder.open(start.local_name().as_ref())?,
            Event::End(_) => builder.close()?,
            Event::Text(text) => builder.text(&text.xml10_content())?,
            Event::CData(text) => builder.text(&text.xml10_content())?,
            Event::GeneralRef(reference) => builder.text(&resolve(&reference)?)?,
            Event::Decl(_) | Event::Comment(_) => {}
            Event::Eof => return builder.finish(),
            Event::Empty(_) | Event::PI(_) | Event::DocType(_) => {
                return Err(S3Error::malformed_xml());
            }
        }
    }
}

/// The text that a reference stands for: a character by its number, or one of XML's five entities.
fn resolve(reference: &BytesRef<'_>) -> Result<String, S3Error> {
    let number = reference
        .resolve_char_ref()
        .map_err(|_| S3Error::malformed_xml())?;
    match (number, &**reference) {
        (Some(character), _) => Ok(character.to_string()),
        (None, "lt") => Ok("<".to_owned()),
        (None, "gt") => Ok(">".to_owned()),
        (None, "amp") => Ok("&".to_owned()),
        (None, "apos") => Ok("'".to_owned()),
        (None, "quot") => Ok("\"".to_owned()),
        _ => Err(S3Error::malformed_xml()),
    }
}

#[derive(Default)]
struct Builder {
    open: Vec<Element>,
    root: Option<Element>,
    elements: usize,
}

impl Builder {
    fn open(&mut self, name: &str) -> Result<(), S3Error> {
        self.elements += 1;
        let second_root = self.open.is_empty() && self.root.is_some();
        if second_root || self.open.len() >= MAX_DEPTH || self.elements > MAX_ELEMENTS {
            return Err(S3Error::malformed_xml());
        }
        self.open.push(Element {
            name: name.to_owned(),
            ..Element::default()
        });
        Ok(())
    }

    fn close(&mut self) -> Result<(), S3Error> {
        let closed = self.open.pop().ok_or_else(S3Error::malformed_xml)?;
        match self.open.last_mut() {
            Some(parent) => parent.children.push(closed),
            None => self.root = Some(closed),
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), S3Error> {
        match self.open.last_mut() {
            Some(element) => {
                element.text.push_str(text);
                Ok(())
            }
            None if text.trim().is_empty() => Ok(()),
            None => Err(S3Error::malformed_xml()),
        }
    }

    fn finish(self) -> Result<Element, S3Error> {
        match self.root {
            Some(root) if self.open.is_empty() => Ok(root),
            _ => Err(S3Error::malformed_xml()),
        }
    }
}

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3::error::ErrorCode;

    fn text_of(document: &str) -> Result<String, ErrorCode> {
        let mut root = Element::parse(document.as_bytes(), "A").map_err(|e| e.code())?;
        let text = root.require_text("B").map_err(|e| e.code())?;
        root.finish().map_err(|e| e.code())?;
        Ok(text)
    }

    #[test]
    fn documents_of_all_honest_forms_are_read() {
        for (document, text) in [
            ("<A><B>x</B></A>", "x"),
            (
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<A>\n <B>x</B>\n</A>\n",
                "x",
            ),
            ("\u{FEFF}<A><B>x</B></A>", "x"),
            (
                "<A xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><B>x</B></A>",
                "x",
            ),
            ("<s:A xmlns:s=\"urn:s\"><s:B>x</s:B></s:A>", "x"),
            ("<A><!-- note --><B>x</B></A>", "x"),
            ("<A><B><![CDATA[<&>]]></B></A>", "<&>"),
            ("<A><B>&lt;&amp;&gt;&quot;&apos;</B></A>", "<&>\"'"),
            ("<A><B>a&#13;b&#x1F980;&#1;</B></A>", "a\rb🦀\u{1}"),
            ("<A><B> a  b </B></A>", " a  b "),
            ("<A><B/></A>", ""),
            ("<A><B></B></A>", ""),
        ] {
            assert_eq!(text_of(document).as_deref(), Ok(text), "{document}");
        }
    }

    #[test]
    fn everything_else_is_malformed() {
        let deep = format!("{}{}", "<A>".repeat(21), "</A>".repeat(21));
        let deeper = "<A>".repeat(100_000);
        let wide = format!("<A>{}<B>x</B></A>", "<C/>".repeat(MAX_ELEMENTS));
        for document in [
            "",
            "not xml",
            "<A>",
            "<A><B>x</A></B>",
            "<A><B>x</B></A><A/>",
            "<A><B>x</B></A>text",
            "<Z><B>x</B></Z>",
            "<A/>",
            "<A><B>x</B><B>y</B></A>",
            "<A><B>x</B><C/></A>",
            "<A>text<B>x</B></A>",
            "<A><B><C/></B></A>",
            "<A><B>&unknown;</B></A>",
            "<A><B>&#0;</B></A>",
            "<A><B>&#xD800;</B></A>",
            "<A><B>& x</B></A>",
            "<!DOCTYPE A [<!ENTITY e \"x\">]><A><B>&e;</B></A>",
            "<!DOCTYPE A SYSTEM \"file:///etc/passwd\"><A><B>x</B></A>",
            "<?php x ?><A><B>x</B></A>",
            &deep,
            &deeper,
            &wide,
        ] {
            let shown = &document[..document.len().min(60)];
            assert_eq!(text_of(document), Err(ErrorCode::MalformedXML), "{shown}");
        }
        assert!(Element::parse(b"<A>\xFF</A>", "A").is_err());
    }
}
