//! A mistake in a manifest: where, what, and what to do about it. Paths are spelled in one way, so that a reader of a
//! file can find the line.

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The field, such as `spec.upstream.fallbacks[0].url`; empty for the document as a whole.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub remedy: String,
    /// Whether it can be overlooked.
    pub kind: ProblemKind,
}

/// Tells mistakes that may be overlooked from those that may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// The manifest cannot be used: a field has a value that no cluster accepts.
    Invalid,
    /// Neither the manifest nor its class names a registry.
    UpstreamMissing,
    /// A limit of the class is exceeded.
    ClassViolation,
    /// The class does not allow this registry.
    UpstreamNotAllowed,
    /// The field is not known here. A newer operator may have written it: whoever reads its files goes on without.
    UnknownField,
}

impl ProblemKind {
    /// Whether the manifest cannot be used.
    pub const fn is_fatal(self) -> bool {
        !matches!(self, Self::UnknownField)
    }
}

impl Problem {
    /// Whether the manifest cannot be used.
    pub const fn is_fatal(&self) -> bool {
        self.kind.is_fatal()
    }

    /// The same mistake, of another kind.
    #[must_use]
    pub fn of_kind(self, kind: ProblemKind) -> Self {
        Self { kind, ..self }
    }

    /// A mistake that makes the manifest unusable.
    pub fn invalid(path: impl Into<String>, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into(), remedy: remedy.into(), kind: ProblemKind::Invalid }
    }
}

/// The path of a member of an object. Keys that hold a dot or a bracket are put in brackets.
pub fn member(parent: &str, key: &str) -> String {
    if key.is_empty() || key.contains(['.', '[', ']']) {
        format!("{parent}[{key}]")
    } else if parent.is_empty() {
        key.to_owned()
    } else {
        format!("{parent}.{key}")
    }
}

/// The path of an item of a list.
pub fn item(parent: &str, index: usize) -> String {
    format!("{parent}[{index}]")
}
