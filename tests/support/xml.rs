//! Just enough XML to read S3's answers, written apart from the server's own: a tree of elements
//! without attributes. Anything that is not well formed panics, which fails the test.

/// One element.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Element {
    /// Its name, without a namespace.
    pub(crate) name: String,
    /// Its own text.
    pub(crate) text: String,
    /// The elements in it.
    pub(crate) children: Vec<Element>,
}

impl Element {
    /// Reads a document.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let text = std::str::from_utf8(bytes).expect("XML is UTF-8");
        // A raw carriage return would be read as a line feed, the others are not XML at all.
        let legal =
            |c: char| (c >= ' ' || c == '\n' || c == '\t') && c < '\u{FFFE}' || c > '\u{FFFF}';
        assert!(
            text.chars().all(legal),
            "only characters of XML 1.0: {text:?}"
        );
        let mut open = vec![Self::default()];
        let mut rest = text;
        while let Some(start) = rest.find('<') {
            top(&mut open).text.push_str(&unescape(&rest[..start]));
            let end = start + rest[start..].find('>').expect("a tag ends");
            let tag = &rest[start + 1..end];
            rest = &rest[end + 1..];
            if tag.starts_with('?') {
                continue;
            }
            if let Some(name) = tag.strip_prefix('/') {
                let element = open.pop().expect("the root stays");
                assert_eq!(element.name, name, "tags match in {text}");
                top(&mut open).children.push(element);
                continue;
            }
            let name = tag
                .trim_end_matches('/')
                .split_whitespace()
                .next()
                .expect("a tag has a name");
            let element = Self {
                name: name.to_owned(),
                ..Self::default()
            };
            if tag.ends_with('/') {
                top(&mut open).children.push(element);
            } else {
                open.push(element);
            }
        }
        assert_eq!(open.len(), 1, "all tags are closed in {text}");
        let mut root = open.pop().expect("the root is there");
        assert_eq!(root.children.len(), 1, "one element is outermost in {text}");
        root.children.remove(0)
    }

    /// The text of the child `name`, or nothing if there is none.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.child(name).map(|child| child.text.as_str())
    }

    /// The text of the child `name`, which must be there.
    pub(crate) fn text_of(&self, name: &str) -> &str {
        self.get(name)
            .unwrap_or_else(|| panic!("no <{name}> in {self:?}"))
    }

    /// The first child `name`.
    pub(crate) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// All children `name`.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> + 'a {
        self.children.iter().filter(move |child| child.name == name)
    }
}

/// `text` as it is written inside an element.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\r' => escaped.push_str("&#13;"),
            other => escaped.push(other),
        }
    }
    escaped
}

fn top(open: &mut [Element]) -> &mut Element {
    open.last_mut().expect("the root is never closed")
}

fn unescape(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(start) = rest.find('&') {
        plain.push_str(&rest[..start]);
        let end = start + rest[start..].find(';').expect("an entity ends");
        match &rest[start + 1..end] {
            "amp" => plain.push('&'),
            "lt" => plain.push('<'),
            "gt" => plain.push('>'),
            "quot" => plain.push('"'),
            "apos" => plain.push('\''),
            number => plain.push(character(number)),
        }
        rest = &rest[end + 1..];
    }
    plain.push_str(rest);
    plain
}

fn character(reference: &str) -> char {
    let number = reference.strip_prefix('#').expect("a known entity");
    let code = match number.strip_prefix('x') {
        Some(hex) => u32::from_str_radix(hex, 16),
        None => number.parse(),
    };
    char::from_u32(code.expect("a number")).expect("a character")
}

#[test]
fn answers_are_read_as_they_are_meant() {
    let read = Element::parse(
        b"<?xml version=\"1.0\"?>\n<A xmlns=\"x\"><B>1 &lt; 2&#x41;</B><B/><C><D>&amp;</D></C></A>",
    );
    assert_eq!(read.name, "A");
    let texts: Vec<&str> = read.all("B").map(|b| b.text.as_str()).collect();
    assert_eq!(texts, ["1 < 2A", ""]);
    assert_eq!(read.child("C").unwrap().text_of("D"), "&");
}
