//! The shapes of answers, parsed from `operations.zz`.

/// The shape of a value.
#[derive(Debug, PartialEq)]
pub(crate) enum Shape<'t> {
    /// Any JSON.
    Any,
    Boolean,
    Text,
    /// Bytes, as a text of at least this many characters.
    Blob(usize),
    OneOf(Vec<&'t str>),
    Integer(Range),
    Number(Range),
    List(Box<Shape<'t>>),
    Map(Box<Shape<'t>>),
    /// An object whose members are not checked.
    Object,
    /// An enclosing structure, this many levels up. Zero is the current one.
    Ancestor(usize),
    Structure(Vec<Field<'t>>),
}

/// The bounds of a number.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Range {
    pub min: Option<f64>,
    pub max: Option<f64>,
}

/// A field of a structure.
#[derive(Debug, PartialEq)]
pub(crate) struct Field<'t> {
    pub name: &'t str,
    pub required: bool,
    pub shape: Shape<'t>,
}

impl<'t> Shape<'t> {
    /// Parses a whole text as one shape.
    pub(super) fn read(text: &'t str) -> Option<Self> {
        let mut reader = Reader { rest: text };
        let shape = reader.shape()?;
        reader.rest.is_empty().then_some(shape)
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

    fn shape(&mut self) -> Option<Shape<'t>> {
        let first = self.rest.chars().next()?;
        self.rest = self.rest.get(first.len_utf8()..)?;
        Some(match first {
            'a' => Shape::Any,
            'o' => Shape::Boolean,
            's' => Shape::Text,
            'j' => Shape::Object,
            '^' => Shape::Ancestor(self.until(|c| !c.is_ascii_digit()).parse().ok()?),
            'b' => Shape::Blob(self.until(|c| !c.is_ascii_digit()).parse().unwrap_or_default()),
            'i' => Shape::Integer(self.range()),
            'n' => Shape::Number(self.range()),
            '<' => {
                let allowed = self.until(|c| c == '>').split('|').collect();
                self.take('>').then_some(Shape::OneOf(allowed))?
            }
            '[' => Shape::List(Box::new(self.shape()?)),
            '{' => Shape::Map(Box::new(self.shape()?)),
            '(' => Shape::Structure(self.fields()?),
            _ => return None,
        })
    }

    fn range(&mut self) -> Range {
        let mut bound = || self.until(|c| !"+-.eE".contains(c) && !c.is_ascii_digit()).parse().ok();
        let min = bound();
        let max = if self.take(':') { self.until(|c| matches!(c, ' ' | ')')).parse().ok() } else { None };
        Range { min, max }
    }

    /// The fields before the closing parenthesis.
    fn fields(&mut self) -> Option<Vec<Field<'t>>> {
        let mut fields = Vec::new();
        while !self.take(')') {
            self.take(' ');
            let required = self.take('!');
            let name = self.until(|c| matches!(c, '=' | ' ' | ')'));
            let shape = if self.take('=') { self.shape()? } else { Shape::Text };
            if name.is_empty() {
                return None;
            }
            fields.push(Field { name, required, shape });
        }
        Some(fields)
    }
}
