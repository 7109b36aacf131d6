//! Writes the XML of answers, in the order in which it is told.

use std::fmt::Write;

use crate::s3::encode::is_forbidden_in_xml;

/// The namespace of all of S3's documents but errors.
pub const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// An XML document in the making.
#[derive(Debug)]
pub struct XmlWriter {
    text: String,
}

impl XmlWriter {
    /// A document, with its declaration.
    #[must_use]
    pub fn new() -> Self {
        Self {
            text: "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned(),
        }
    }

    /// A document whose root is in S3's namespace, filled by `fill`.
    #[must_use]
    pub fn document(root: &str, fill: impl FnOnce(&mut Self)) -> String {
        let mut xml = Self::new();
        xml.put(&["<", root, " xmlns=\"", NAMESPACE, "\">"]);
        fill(&mut xml);
        xml.put(&["</", root, ">"]);
        xml.text
    }

    /// A document that is one element in S3's namespace, with text in it.
    pub fn leaf_in_namespace(&mut self, name: &str, text: &str) {
        self.put(&["<", name, " xmlns=\"", NAMESPACE, "\""]);
        if text.is_empty() {
            self.put(&["/>"]);
            return;
        }
        self.put(&[">"]);
        self.escape(text);
        self.put(&["</", name, ">"]);
    }

    /// An element with elements in it.
    pub fn element(&mut self, name: &str, fill: impl FnOnce(&mut Self)) {
        self.put(&["<", name, ">"]);
        fill(self);
        self.put(&["</", name, ">"]);
    }

    /// An element whose `xsi:type` says what is in it.
    pub fn typed_element(&mut self, name: &str, kind: &str, fill: impl FnOnce(&mut Self)) {
        let instance = "http://www.w3.org/2001/XMLSchema-instance";
        self.put(&[
            "<",
            name,
            " xmlns:xsi=\"",
            instance,
            "\" xsi:type=\"",
            kind,
            "\">",
        ]);
        fill(self);
        self.put(&["</", name, ">"]);
    }

    /// An element with text in it.
    pub fn leaf(&mut self, name: &str, text: &str) {
        if text.is_empty() {
            self.put(&["<", name, "/>"]);
            return;
        }
        self.put(&["<", name, ">"]);
        self.escape(text);
        self.put(&["</", name, ">"]);
    }

    /// An element with text in it, if there is some.
    pub fn leaf_if(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.leaf(name, text);
        }
    }

    /// An element with a number in it.
    pub fn number(&mut self, name: &str, number: u64) {
        self.leaf(name, &number.to_string());
    }

    /// An element with `true` or `false` in it.
    pub fn boolean(&mut self, name: &str, value: bool) {
        self.leaf(name, if value { "true" } else { "false" });
    }

    /// The document.
    #[must_use]
    pub fn finish(self) -> String {
        self.text
    }

    fn put(&mut self, pieces: &[&str]) {
        for piece in pieces {
            self.text.push_str(piece);
        }
    }

    /// A carriage return is written as a reference, since a reader would make a newline of it.
    /// What XML can't carry at all is written so too: of the two, a strict reader that refuses it is
    /// better than a wrong key that nobody notices.
    fn escape(&mut self, text: &str) {
        for character in text.chars() {
            match character {
                '&' => self.text.push_str("&amp;"),
                '<' => self.text.push_str("&lt;"),
                '>' => self.text.push_str("&gt;"),
                '"' => self.text.push_str("&quot;"),
                '\r' => self.text.push_str("&#13;"),
                // Writing to a String can't fail.
                odd if is_forbidden_in_xml(odd) => {
                    let _infallible = write!(self.text, "&#{};", u32::from(odd));
                }
                plain => self.text.push(plain),
            }
        }
    }
}

impl Default for XmlWriter {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_so_that_it_reads_back() {
        let mut xml = XmlWriter::new();
        xml.element("A", |xml| {
            xml.leaf("B", "a<b>&\"c\"'\r\n\u{1}é🦀");
            xml.leaf("C", "");
            xml.number("D", 7);
            xml.boolean("E", true);
            xml.leaf_if("F", None);
        });
        assert_eq!(
            xml.finish(),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<A><B>a&lt;b&gt;&amp;&quot;c&quot;'&#13;\n\
             &#1;é🦀</B><C/><D>7</D><E>true</E></A>"
        );
    }
}
