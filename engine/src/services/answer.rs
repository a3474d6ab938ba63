//! What an operation answers: the types that `operations.zz` writes, read.

/// What a value may be.
#[derive(Debug, PartialEq)]
pub(crate) enum Kind<'t> {
    /// Any JSON.
    Any,
    Boolean,
    Text,
    /// Bytes, written as a text of so many characters at least.
    Blob(usize),
    OneOf(Vec<&'t str>),
    Whole(Range),
    Number(Range),
    List(Box<Kind<'t>>),
    Map(Box<Kind<'t>>),
    /// An object that is not looked into.
    Object,
    /// A structure that this one is in, so many levels up; zero is the one at hand.
    Again(usize),
    Structure(Vec<Field<'t>>),
}

/// The least and the most that a number may be.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Range {
    pub least: Option<f64>,
    pub most: Option<f64>,
}

/// A field of a structure.
#[derive(Debug, PartialEq)]
pub(crate) struct Field<'t> {
    pub name: &'t str,
    pub required: bool,
    pub kind: Kind<'t>,
}

impl<'t> Kind<'t> {
    /// Reads a whole text that is one type.
    pub(super) fn read(text: &'t str) -> Option<Self> {
        let mut reader = Reader { rest: text };
        let kind = reader.kind()?;
        reader.rest.is_empty().then_some(kind)
    }
}

struct Reader<'t> {
    rest: &'t str,
}

impl<'t> Reader<'t> {
    fn take(&mut self, token: char) -> bool {
        let rest = self.rest.strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// Everything before a character that `ends` it.
    fn until(&mut self, ends: impl Fn(char) -> bool) -> &'t str {
        let (read, rest) = self.rest.split_at(self.rest.find(ends).unwrap_or(self.rest.len()));
        self.rest = rest;
        read
    }

    fn kind(&mut self) -> Option<Kind<'t>> {
        let first = self.rest.chars().next()?;
        self.rest = self.rest.get(first.len_utf8()..)?;
        Some(match first {
            'a' => Kind::Any,
            'o' => Kind::Boolean,
            's' => Kind::Text,
            'j' => Kind::Object,
            '^' => Kind::Again(self.until(|c| !c.is_ascii_digit()).parse().ok()?),
            'b' => Kind::Blob(self.until(|c| !c.is_ascii_digit()).parse().unwrap_or_default()),
            'i' => Kind::Whole(self.range()),
            'n' => Kind::Number(self.range()),
            '<' => {
                let allowed = self.until(|c| c == '>').split('|').collect();
                self.take('>').then_some(Kind::OneOf(allowed))?
            }
            '[' => Kind::List(Box::new(self.kind()?)),
            '{' => Kind::Map(Box::new(self.kind()?)),
            '(' => Kind::Structure(self.fields()?),
            _ => return None,
        })
    }

    fn range(&mut self) -> Range {
        let mut bound = || self.until(|c| !"+-.eE".contains(c) && !c.is_ascii_digit()).parse().ok();
        let least = bound();
        let most = if self.take(':') { self.until(|c| matches!(c, ' ' | ')')).parse().ok() } else { None };
        Range { least, most }
    }

    /// Fields up to the parenthesis that closes them.
    fn fields(&mut self) -> Option<Vec<Field<'t>>> {
        let mut fields = Vec::new();
        while !self.take(')') {
            self.take(' ');
            let required = self.take('!');
            let name = self.until(|c| matches!(c, '=' | ' ' | ')'));
            let kind = if self.take('=') { self.kind()? } else { Kind::Text };
            if name.is_empty() {
                return None;
            }
            fields.push(Field { name, required, kind });
        }
        Some(fields)
    }
}
