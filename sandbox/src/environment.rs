//! Reads a simulated provider's settings. Each provider declares its own beside its router.

use clap::{Args, Command, FromArgMatches};

/// `T` from its environment variables, with its defaults for those that are unset. A value that
/// cannot be read ends the process with the variable's name, as it should at start.
pub fn read<T: Args + FromArgMatches>() -> T {
    let command = T::augment_args(Command::new("sandbox"));
    let matches = command.get_matches_from(["sandbox"]);
    T::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}
