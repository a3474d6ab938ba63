//! ARNs of Step Functions: the resources that they name, and the names that are allowed.

use super::error::Error;

/// The kind of resource that an ARN names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Resource<'a> {
    /// `stateMachine:NAME`
    Machine,
    /// `stateMachine:NAME:VERSION` or `:ALIAS`
    Qualified,
    /// `stateMachine:NAME/LABEL`: a distributed Map in a machine.
    MapOfMachine,
    /// `execution:MACHINE:NAME`
    Execution,
    /// `express:MACHINE:NAME:ID`
    Express,
    /// `activity:NAME`
    Activity,
    /// `mapRun:MACHINE/LABEL:ID`
    MapRun,
    /// Something else, by its type.
    Other(&'a str),
}

/// Reads what an ARN names.
pub(super) fn resource(arn: &str) -> Result<Resource<'_>, Error> {
    let parts: Vec<_> = arn.split(':').collect();
    let [prefix, _, service, _, _, kind, rest @ ..] = parts.as_slice() else {
        return Err(Error::arn(format_args!("Invalid ARN prefix: {arn}")));
    };
    if *prefix != "arn" || *service != "states" {
        return Err(Error::arn(format_args!("Invalid ARN prefix: {arn}")));
    }
    match (*kind, rest) {
        ("stateMachine", [name]) if name.contains('/') => Ok(Resource::MapOfMachine),
        ("stateMachine", [_]) => Ok(Resource::Machine),
        ("stateMachine", [_, _]) => Ok(Resource::Qualified),
        ("execution", [_, _]) => Ok(Resource::Execution),
        ("express", [_, _, _]) => Ok(Resource::Express),
        ("activity", [_]) => Ok(Resource::Activity),
        ("mapRun", [_, _]) => Ok(Resource::MapRun),
        ("stateMachine" | "execution" | "express" | "activity" | "mapRun", _) => {
            Err(Error::arn(format_args!("Invalid ARN: {arn}")))
        }
        (kind, _) => Ok(Resource::Other(kind)),
    }
}

/// The refusal of an ARN of a type that a call has no use for.
pub(super) fn out_of_place(resource: &Resource<'_>) -> Error {
    let kind = match resource {
        Resource::Machine | Resource::Qualified | Resource::MapOfMachine => "stateMachine",
        Resource::Execution => "execution",
        Resource::Express => "express",
        Resource::Activity => "activity",
        Resource::MapRun => "mapRun",
        Resource::Other(kind) => kind,
    };
    Error::arn(format_args!("Resource type not valid in this context: {kind}"))
}

/// Refuses an ARN that names no machine; versions, aliases and distributed Maps are not machines by
/// themselves.
pub(super) fn machine(arn: &str) -> Result<(), Error> {
    match resource(arn)? {
        Resource::Machine => Ok(()),
        // No version was ever published here.
        Resource::Qualified => Err(Error::no_machine(arn)),
        Resource::MapOfMachine => {
            Err(Error::validation("The ARN of a Distributed Map state is not supported by this operation"))
        }
        other => Err(out_of_place(&other)),
    }
}

/// Refuses an ARN that names no execution of a STANDARD machine.
pub(super) fn execution(arn: &str) -> Result<(), Error> {
    match resource(arn)? {
        Resource::Execution => Ok(()),
        other => Err(out_of_place(&other)),
    }
}

/// Refuses an ARN that names no activity.
pub(super) fn activity(arn: &str) -> Result<(), Error> {
    match resource(arn)? {
        Resource::Activity => Ok(()),
        other => Err(out_of_place(&other)),
    }
}

/// Refuses what cannot name a machine, an execution or an activity.
pub(super) fn name(name: &str) -> Result<(), Error> {
    if is_name(name) { Ok(()) } else { Err(Error::name(name)) }
}

/// Whether a machine, an execution or an activity may have this name, however long it is.
pub(crate) fn is_name(name: &str) -> bool {
    let forbidden = |character: char| {
        character.is_whitespace()
            || "<>{}[]?*\"#%\\^|~`$&,;:/".contains(character)
            || matches!(u32::from(character), 0..=0x1F | 0x7F..=0x9F | 0xFFFE..=0xFFFF | 0x10_FFFF)
    };
    !name.is_empty() && !name.contains(forbidden)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_aws_forbids_are_refused() {
        for good in ["a", "Ärger", "a.b-c_d+e=f@g", "(x)"] {
            assert_eq!(name(good), Ok(()), "{good}");
        }
        for bad in ["", "a b", "a/b", "a:b", "a\u{7f}", "a*", "a\u{ffff}", "a\n", "[a]"] {
            assert_eq!(name(bad), Err(Error::name(bad)), "{bad:?}");
        }
    }
}
