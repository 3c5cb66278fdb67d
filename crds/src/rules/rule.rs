//! One rule: where it looks, what it demands, and what it says when the demand is not met.

use std::borrow::Cow;
use std::str::FromStr;

use super::node::Node;
use crate::problem::Problem;
use crate::values::{ByteSize, GoDuration};

type Predicate = Box<dyn Fn(&Node<'_>) -> bool + Send + Sync>;
type Remedy = Box<dyn Fn(&Node<'_>) -> Cow<'static, str> + Send + Sync>;

/// A rule over the value at one place of a document.
pub struct Rule {
    /// The place: names with dots between them, `[]` for each item of a list; empty for the document.
    pub place: String,
    /// The member of that place that is to blame; empty for the place itself.
    pub field: &'static str,
    /// What must hold.
    pub message: Cow<'static, str>,
    /// The rule for the API server, where `self` is the value at `place`.
    pub cel: String,
    /// The same for the programs here; `None` where the rule compares with what was there before.
    holds: Option<Predicate>,
    remedy: Remedy,
}

impl Rule {
    /// A rule whose two forms say the same. `holds` sees a value that is there, but of any type.
    pub(super) fn at(
        place: impl Into<String>,
        message: impl Into<Cow<'static, str>>,
        cel: impl Into<String>,
        holds: impl Fn(&Node<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self { holds: Some(Box::new(holds)), ..Self::on_change(place, message, cel) }
    }

    /// A rule that compares with `oldSelf`, for the API server alone.
    pub(super) fn on_change(
        place: impl Into<String>,
        message: impl Into<Cow<'static, str>>,
        cel: impl Into<String>,
    ) -> Self {
        Self {
            place: place.into(),
            field: "",
            message: message.into(),
            cel: cel.into(),
            holds: None,
            remedy: Box::new(|_| Cow::Borrowed("")),
        }
    }

    /// A duration from `least` to `most`.
    pub(super) fn duration(place: impl Into<String>, least: &'static str, most: &'static str) -> Self {
        let cel = format!("duration(self) >= duration('{least}') && duration(self) <= duration('{most}')");
        Self::within::<GoDuration>(place.into(), least, most, cel)
    }

    /// A size from `least` to `most`.
    pub(super) fn size(place: impl Into<String>, least: &'static str, most: &'static str) -> Self {
        let cel = format!(
            "quantity(self).compareTo(quantity('{least}')) >= 0 && quantity(self).compareTo(quantity('{most}')) <= 0"
        );
        Self::within::<ByteSize>(place.into(), least, most, cel)
    }

    fn within<T: FromStr + PartialOrd>(place: String, least: &'static str, most: &'static str, cel: String) -> Self {
        let name = place.rsplit('.').next().unwrap_or_default();
        let message = format!("`{name}` must be between '{least}' and '{most}'");
        // A text that has the form and is no value is beyond all bounds.
        let holds = move |node: &Node<'_>| match (node.parsed::<T>(), least.parse::<T>(), most.parse::<T>()) {
            (Some(value), Ok(least), Ok(most)) => value >= least && value <= most,
            _ => node.text().is_none(),
        };
        Self::at(place, message, cel, holds).remedy(format!("write a value from {least} to {most}"))
    }

    /// Blames a member of the place.
    pub(super) fn field(self, field: &'static str) -> Self {
        Self { field, ..self }
    }

    /// Says what to do.
    pub(super) fn remedy(self, remedy: impl Into<Cow<'static, str>>) -> Self {
        let remedy = remedy.into();
        Self { remedy: Box::new(move |_| remedy.clone()), ..self }
    }

    /// Says what to do about the value that is blamed.
    pub(super) fn remedy_for(self, remedy: fn(&Node<'_>) -> &'static str) -> Self {
        Self { remedy: Box::new(move |node| Cow::Borrowed(remedy(node))), ..self }
    }

    /// Each place below `root` where the rule does not hold.
    pub(super) fn broken(&self, root: &Node<'_>) -> Vec<Problem> {
        let Some(holds) = &self.holds else { return Vec::new() };
        let problem = |node: Node<'_>| {
            let blamed = self.field.split('.').filter(|name| !name.is_empty()).fold(node, |node, name| node.get(name));
            let remedy = (self.remedy)(&blamed);
            blamed.problem(self.message.clone(), remedy)
        };
        root.find(&self.place).into_iter().filter(|node| !holds(node)).map(problem).collect()
    }
}
