//! The optimized integrations, from AWS's documentation ("Integrating optimized services").

/// The patterns of a call besides request and response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Patterns {
    Plain,
    /// `.sync`
    Job,
    /// `.waitForTaskToken`
    Callback,
    Both,
    /// The same, and `.sync:2`.
    All,
}

/// Every service, with the calls of each pattern.
const SERVICES: [(&str, &[(Patterns, &str)]); 22] = {
    use Patterns::{All, Both, Callback, Job, Plain};
    [
        ("apigateway", &[(Callback, "invoke")]),
        (
            "athena",
            &[(Job, "startQueryExecution"), (Plain, "stopQueryExecution getQueryExecution getQueryResults")],
        ),
        ("batch", &[(Job, "submitJob")]),
        ("bedrock", &[(Both, "invokeModel createModelCustomizationJob")]),
        (
            "codebuild",
            &[
                (Job, "startBuild startBuildBatch retryBuildBatch"),
                (Plain, "stopBuild stopBuildBatch batchDeleteBuilds batchGetReports deleteBuildBatch"),
            ],
        ),
        ("databrew", &[(Job, "startJobRun")]),
        ("dynamodb", &[(Plain, "getItem putItem deleteItem updateItem")]),
        ("ecs", &[(Both, "runTask")]),
        (
            "eks",
            &[
                (Job, "createCluster deleteCluster createFargateProfile deleteFargateProfile"),
                (Job, "createNodegroup deleteNodegroup runJob"),
                (Callback, "call"),
            ],
        ),
        (
            "elasticmapreduce",
            &[
                (Job, "createCluster terminateCluster addStep"),
                (Plain, "cancelStep setClusterTerminationProtection"),
                (Plain, "modifyInstanceFleetByName modifyInstanceGroupByName"),
            ],
        ),
        ("emr-containers", &[(Job, "createVirtualCluster deleteVirtualCluster startJobRun")]),
        (
            "emr-serverless",
            &[(
                Job,
                "createApplication startApplication stopApplication deleteApplication startJobRun cancelJobRun",
            )],
        ),
        ("events", &[(Callback, "putEvents")]),
        ("glue", &[(Job, "startJobRun")]),
        ("glue-databrew", &[(Job, "startJobRun")]),
        ("http", &[(Plain, "invoke")]),
        ("lambda", &[(Callback, "invoke")]),
        ("mediaconvert", &[(Job, "createJob")]),
        (
            "sagemaker",
            &[
                (
                    Job,
                    "createHyperParameterTuningJob createLabelingJob createProcessingJob createTrainingJob",
                ),
                (Job, "createTransformJob createAutoMLJob"),
                (Plain, "createEndpoint createEndpointConfig createModel updateEndpoint"),
            ],
        ),
        ("sns", &[(Callback, "publish")]),
        ("sqs", &[(Callback, "sendMessage")]),
        ("states", &[(All, "startExecution")]),
    ]
};

/// The call whose answer is the result of a task that waits for a job.
const POLLED: [(&str, &str); 7] = [
    ("states:startExecution", "sfn:describeExecution"),
    ("athena:startQueryExecution", "athena:getQueryExecution"),
    ("batch:submitJob", "batch:describeJobs"),
    ("codebuild:startBuild", "codebuild:batchGetBuilds"),
    ("ecs:runTask", "ecs:describeTasks"),
    ("glue:startJobRun", "glue:getJobRun"),
    ("databrew:startJobRun", "databrew:describeJobRun"),
];

/// Whether a call (`sns:publish`) exists with this pattern (empty: none).
pub(super) fn has(call: &str, pattern: &str) -> bool {
    let Some((service, action)) = call.split_once(':') else {
        return false;
    };
    let service = SERVICES.iter().find(|(name, _)| *name == service);
    let mut calls = service.into_iter().flat_map(|(_, calls)| calls.iter());
    calls.any(|(patterns, actions)| {
        actions.split(' ').any(|known| known == action) && patterns.include(pattern)
    })
}

pub(super) fn polled(call: &str) -> Option<&'static str> {
    POLLED.iter().find(|(started, _)| *started == call).map(|(_, polled)| *polled)
}

impl Patterns {
    fn include(self, pattern: &str) -> bool {
        match pattern {
            "" => true,
            "sync" => matches!(self, Self::Job | Self::Both | Self::All),
            "sync:2" => self == Self::All,
            "waitForTaskToken" => matches!(self, Self::Callback | Self::Both | Self::All),
            _ => false,
        }
    }
}
