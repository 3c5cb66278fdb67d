//! The one way from a document to a class.

use serde::Deserialize;
use serde_json::Value;

use super::PackageProxyClass;
use crate::problem::Problem;
use crate::{rules, schema, structure};

/// What a document of kind `PackageProxyClass` says.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassReading {
    /// The class, unless a problem is fatal ([`Problem::is_fatal`]).
    pub class: Option<PackageProxyClass>,
    /// Every mistake in the document.
    pub problems: Vec<Problem>,
}

/// Reads a document of kind `PackageProxyClass`, and finds every mistake at once.
pub fn read(document: &Value) -> ClassReading {
    let mut problems = structure::check(document, schema::package_proxy_class());
    rules::check_class(document, &mut problems);
    if problems.iter().any(Problem::is_fatal) {
        return ClassReading { class: None, problems };
    }
    match PackageProxyClass::deserialize(document) {
        Ok(class) => ClassReading { class: Some(class), problems },
        Err(error) => {
            problems.push(Problem::invalid("", error.to_string(), "correct the class"));
            ClassReading { class: None, problems }
        }
    }
}
