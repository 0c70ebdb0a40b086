//! What is said of a route of the API to those who read its description ([`super::openapi`]): what it takes, and what it
//! answers. Each route says it where it is declared.

/// How the description groups routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    Query,
    Labels,
    Metadata,
    Targets,
    Rules,
    Status,
    Admin,
    Remote,
}

impl Tag {
    pub const ALL: &[Tag] =
        &[Tag::Query, Tag::Labels, Tag::Metadata, Tag::Targets, Tag::Rules, Tag::Status, Tag::Admin, Tag::Remote];

    /// Its name, and what its routes are about.
    pub fn texts(self) -> (&'static str, &'static str) {
        match self {
            Tag::Query => ("query", "PromQL: evaluated, formatted, parsed."),
            Tag::Labels => ("labels", "Names of metrics and labels, values of labels, series."),
            Tag::Metadata => ("metadata", "Types, units and help texts of metrics."),
            Tag::Targets => ("targets", "What is scraped, and what relabelling makes of it."),
            Tag::Rules => ("rules", "Rules, their alerts, and whom alerts are sent to."),
            Tag::Status => ("status", "The state of this server, and what it can do."),
            Tag::Admin => ("admin", "What changes the storage."),
            Tag::Remote => ("remote", "Samples in and out in bulk."),
        }
    }
}

/// What a route says of itself.
#[derive(Clone, Copy, Debug)]
pub struct About {
    pub tag: Tag,
    /// Unique among all routes.
    pub id: &'static str,
    /// A sentence without its full stop.
    pub summary: &'static str,
    pub parameters: &'static [Parameter],
    /// Media types of the body that it takes, beside forms with its parameters.
    pub bodies: &'static [&'static str],
    pub reply: Reply,
}

impl About {
    pub const fn new(tag: Tag, id: &'static str, summary: &'static str) -> Self {
        Self { tag, id, summary, parameters: &[], bodies: &[], reply: Reply::Nothing }
    }

    pub const fn takes(self, parameters: &'static [Parameter]) -> Self {
        Self { parameters, ..self }
    }

    pub const fn takes_bodies(self, bodies: &'static [&'static str]) -> Self {
        Self { bodies, ..self }
    }

    pub const fn answers(self, reply: Reply) -> Self {
        Self { reply, ..self }
    }
}

/// What a successful answer is.
#[derive(Clone, Copy, Debug)]
pub enum Reply {
    /// No body.
    Nothing,
    /// The envelope with such data.
    Data(Shape),
    /// Something else of this media type.
    Raw(&'static str),
    /// The same as a sequence of items.
    Sequence(&'static str, Shape),
}

/// A shape of JSON.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    Any,
    Text,
    Number,
    Whole,
    Flag,
    /// RFC 3339.
    Time,
    List(&'static Shape),
    /// An object whose keys are data.
    Map(&'static Shape),
    /// Keys that may be missing end in `?`.
    Object(&'static [(&'static str, Shape)]),
}

/// The labels of a series.
pub const LABELS: Shape = Shape::Map(&Shape::Text);

/// A parameter: of the query, or of a form.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    pub name: &'static str,
    /// A sentence without its full stop.
    pub text: &'static str,
    pub kind: Kind,
    pub required: bool,
    pub place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Query,
    Path,
    Header,
}

/// What the value of a parameter is.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Text,
    Whole,
    Flag,
    /// Unix seconds, or RFC 3339.
    Time,
    /// Seconds, or Prometheus' notation.
    Duration,
    /// Given any number of times.
    Texts,
    OneOf(&'static [&'static str]),
}

impl Parameter {
    pub const fn new(name: &'static str, kind: Kind, text: &'static str) -> Self {
        Self { name, text, kind, required: false, place: Place::Query }
    }

    pub const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    /// A part of the path, which is always there.
    pub const fn of_path(self) -> Self {
        Self { required: true, place: Place::Path, ..self }
    }

    pub const fn of_header(self) -> Self {
        Self { place: Place::Header, ..self }
    }
}

pub const QUERY: Parameter = Parameter::new("query", Kind::Text, "A PromQL expression").required();
pub const START: Parameter = Parameter::new("start", Kind::Time, "The begin of the time range; open by default");
pub const END: Parameter = Parameter::new("end", Kind::Time, "The end of the time range; open by default");
pub const MATCH: Parameter =
    Parameter::new("match[]", Kind::Texts, "Series selectors, of which one has to match; all series by default");
pub const LIMIT: Parameter = Parameter::new("limit", Kind::Whole, "Results at most; 0 for no limit");
