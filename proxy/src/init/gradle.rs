//! Gradle's build cache: no client names one outside a build's own settings, and none is built in.

/// What to write.
pub(super) const REMEDY: &str = "write a PackageProxy with `ecosystem: gradle`, and the address of a build cache as \
                                 `upstream.url` if there is one";
