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
    DescribeMapRun,
    DescribeStateMachine,
    DescribeStateMachineForExecution,
    GetActivityTask,
    GetExecutionHistory,
    ListActivities,
    ListExecutions,
    ListMapRuns,
    ListStateMachines,
    ListTagsForResource,
    RedriveExecution,
    SendTaskFailure,
    SendTaskHeartbeat,
    SendTaskSuccess,
    StartExecution,
    StartSyncExecution,
    StopExecution,
    TagResource,
    TestState,
    UntagResource,
    UpdateMapRun,
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
            "DescribeMapRun" => Self::DescribeMapRun,
            "DescribeStateMachine" => Self::DescribeStateMachine,
            "DescribeStateMachineForExecution" => Self::DescribeStateMachineForExecution,
            "GetActivityTask" => Self::GetActivityTask,
            "GetExecutionHistory" => Self::GetExecutionHistory,
            "ListActivities" => Self::ListActivities,
            "ListExecutions" => Self::ListExecutions,
            "ListMapRuns" => Self::ListMapRuns,
            "ListStateMachines" => Self::ListStateMachines,
            "ListTagsForResource" => Self::ListTagsForResource,
            "RedriveExecution" => Self::RedriveExecution,
            "SendTaskFailure" => Self::SendTaskFailure,
            "SendTaskHeartbeat" => Self::SendTaskHeartbeat,
            "SendTaskSuccess" => Self::SendTaskSuccess,
            "StartExecution" => Self::StartExecution,
            "StartSyncExecution" => Self::StartSyncExecution,
            "StopExecution" => Self::StopExecution,
            "TagResource" => Self::TagResource,
            "TestState" => Self::TestState,
            "UntagResource" => Self::UntagResource,
            "UpdateMapRun" => Self::UpdateMapRun,
            "UpdateStateMachine" => Self::UpdateStateMachine,
            "ValidateStateMachineDefinition" => Self::ValidateStateMachineDefinition,
            _ => return None,
        })
    }
}
