//! The calls that the endpoint answers.

/// A call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    CreateActivity,
    CreateStateMachine,
    DeleteActivity,
    DeleteStateMachine,
    DescribeActivity,
    DescribeExecution,
    DescribeStateMachine,
    DescribeStateMachineForExecution,
    GetExecutionHistory,
    ListActivities,
    ListExecutions,
    ListStateMachines,
    ListTagsForResource,
    RedriveExecution,
    StartExecution,
    StartSyncExecution,
    StopExecution,
    TagResource,
    TestState,
    UntagResource,
    UpdateStateMachine,
    ValidateStateMachineDefinition,
}

impl Operation {
    /// The call that the header `X-Amz-Target` names.
    pub(super) fn of_target(target: &str) -> Option<Self> {
        Some(match target.strip_prefix("AWSStepFunctions.")? {
            "CreateActivity" => Self::CreateActivity,
            "CreateStateMachine" => Self::CreateStateMachine,
            "DeleteActivity" => Self::DeleteActivity,
            "DeleteStateMachine" => Self::DeleteStateMachine,
            "DescribeActivity" => Self::DescribeActivity,
            "DescribeExecution" => Self::DescribeExecution,
            "DescribeStateMachine" => Self::DescribeStateMachine,
            "DescribeStateMachineForExecution" => Self::DescribeStateMachineForExecution,
            "GetExecutionHistory" => Self::GetExecutionHistory,
            "ListActivities" => Self::ListActivities,
            "ListExecutions" => Self::ListExecutions,
            "ListStateMachines" => Self::ListStateMachines,
            "ListTagsForResource" => Self::ListTagsForResource,
            "RedriveExecution" => Self::RedriveExecution,
            "StartExecution" => Self::StartExecution,
            "StartSyncExecution" => Self::StartSyncExecution,
            "StopExecution" => Self::StopExecution,
            "TagResource" => Self::TagResource,
            "TestState" => Self::TestState,
            "UntagResource" => Self::UntagResource,
            "UpdateStateMachine" => Self::UpdateStateMachine,
            "ValidateStateMachineDefinition" => Self::ValidateStateMachineDefinition,
            _ => return None,
        })
    }
}
