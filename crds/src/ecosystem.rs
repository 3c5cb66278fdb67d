//! The closed list of registry protocols.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::plain_enum;

/// Declares the ecosystems once, so that the list, the names and the type cannot differ.
macro_rules! ecosystems {
    ($($(#[$doc:meta])+ $variant:ident = $name:literal),+ $(,)?) => {
        /// A registry protocol that the data plane speaks: the value of `spec.ecosystem`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        #[schemars(transform = plain_enum)]
        pub enum Ecosystem {
            $($(#[$doc])+ #[serde(rename = $name)] $variant,)+
        }

        impl Ecosystem {
            /// Every ecosystem, in the order of their names.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The value as it is written in a manifest, a metric label and a path.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

ecosystems! {
    /// The sparse registry protocol of Rust's package manager.
    Cargo = "cargo",
    /// The distribution protocol of container images and other OCI artifacts, for pulls.
    Container = "container",
    /// Archives of Debian packages, as apt reads them.
    Debian = "debian",
    /// The module proxy protocol of Go, with the checksum database.
    Go = "go",
    /// The build cache of Gradle over HTTP. An upstream is optional.
    Gradle = "gradle",
    /// The repository layout of Maven, which Gradle, sbt and Ivy read too.
    Maven = "maven",
    /// The registry protocol of npm, pnpm and Yarn.
    Npm = "npm",
    /// The simple repository API of Python packages (PEP 503, 691, 700).
    Pypi = "pypi",
}

impl Ecosystem {
    /// Whether a 404 of one upstream may send a request to the next: only where names and versions mean the same at
    /// every registry, so that no stranger can give a missing name.
    pub const fn falls_back_on_not_found(self) -> bool {
        match self {
            Self::Go | Self::Maven => true,
            Self::Cargo | Self::Container | Self::Debian | Self::Gradle | Self::Npm | Self::Pypi => false,
        }
    }

    /// Whether a proxy without a registry behind it makes no sense. A build cache that is empty is one.
    pub const fn needs_upstream(self) -> bool {
        !matches!(self, Self::Gradle)
    }
}

impl std::fmt::Display for Ecosystem {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}
