//! The names of the journal's files on a drive, which sort by what they are and how new.

use super::Position;

/// A file of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Name {
    /// Who holds the journal since this term.
    Notice { epoch: u64, term: u64 },
    /// An image as of a group.
    Base { epoch: u64, term: u64, group: u64 },
    /// Records from after a group on.
    Segment { epoch: u64, term: u64, group: u64 },
}

impl Name {
    /// The image at `position`, made in `term`.
    pub(super) const fn base(term: u64, position: &Position) -> Self {
        Self::Base {
            epoch: position.epoch,
            term,
            group: position.group,
        }
    }

    /// The records after `position`, begun in `term`.
    pub(super) const fn segment(term: u64, position: &Position) -> Self {
        Self::Segment {
            epoch: position.epoch,
            term,
            group: position.group,
        }
    }

    /// The epoch and the term in which it was begun.
    pub(super) const fn begun_in(self) -> (u64, u64) {
        match self {
            Self::Notice { epoch, term }
            | Self::Base { epoch, term, .. }
            | Self::Segment { epoch, term, .. } => (epoch, term),
        }
    }

    /// What a file's name says; `None` for files that are nobody's.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let mut fields = name.split('-');
        let kind = fields.next()?;
        let mut number = || {
            let field = fields.next()?;
            (field.len() == 16)
                .then(|| u64::from_str_radix(field, 16).ok())
                .flatten()
        };
        let (epoch, term) = (number()?, number()?);
        let found = match kind {
            "term" => Self::Notice { epoch, term },
            "image" => Self::Base {
                epoch,
                term,
                group: number()?,
            },
            "journal" => Self::Segment {
                epoch,
                term,
                group: number()?,
            },
            _ => return None,
        };
        (found.to_string() == name).then_some(found)
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Notice { epoch, term } => write!(f, "term-{epoch:016x}-{term:016x}"),
            Self::Base { epoch, term, group } => {
                write!(f, "image-{epoch:016x}-{term:016x}-{group:016x}")
            }
            Self::Segment { epoch, term, group } => {
                write!(f, "journal-{epoch:016x}-{term:016x}-{group:016x}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Name;

    #[test]
    fn names_read_back_and_others_are_nobodys() {
        let (epoch, term, group) = (1, 0xAB, u64::MAX);
        for name in [
            Name::Notice { epoch, term },
            Name::Base { epoch, term, group },
            Name::Segment { epoch, term, group },
        ] {
            assert_eq!(Name::parse(&name.to_string()), Some(name));
        }
        for name in [
            "",
            "term",
            "term-1-2",
            "journal-0000000000000001-00000000000000AB-0",
        ] {
            assert_eq!(Name::parse(name), None, "{name}");
        }
    }
}
