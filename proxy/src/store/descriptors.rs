//! Open files: every large download holds one, and the limit that a shell or a service manager sets is that of
//! another age.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// More are never needed, and some systems slow down with a table of a billion.
const ENOUGH: u64 = 1 << 20;

/// Raises this process's limit of open files as far as it may. Returns the limit then in force; `None`: no limit.
pub fn raise_limit() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let before = current?;
    // macOS names no maximum and yet refuses more than this.
    let wanted = maximum.unwrap_or(10_240).min(ENOUGH);
    if before >= wanted {
        return current;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }) {
        Ok(()) => Some(wanted),
        Err(error) => {
            tracing::warn!(limit = before, error = %error, "the limit of open files cannot be raised");
            current
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let (Some(_), Some(most)) = (current, maximum) else { return };
        // Low enough to be raised and high enough for the tests beside this one.
        let low = most.min(ENOUGH) - 1;
        setrlimit(Resource::Nofile, Rlimit { current: Some(low), maximum }).unwrap();
        assert_eq!(raise_limit(), Some(most.min(ENOUGH)));
        assert_eq!(getrlimit(Resource::Nofile).current, Some(most.min(ENOUGH)));
    }
}
