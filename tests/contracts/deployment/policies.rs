//! Who may do what (S2-033), as lines to be read: `policies.txt`. A change of the template shows there.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::stack::{resources, template, text};

const SNAPSHOT: &str = "tests/contracts/deployment/policies.txt";

/// Who may do what to which resource.
type Policies = BTreeMap<(String, String), BTreeSet<String>>;

#[test]
fn policies_are_those_that_were_looked_at() {
    let line = |((who, resource), actions): ((String, String), BTreeSet<String>)| {
        let actions: Vec<String> = actions.into_iter().collect();
        format!("{who}  {resource}  {}\n", actions.join(" "))
    };
    let found: String = policies().into_iter().map(line).collect();
    assert!(found == text(SNAPSHOT), "{SNAPSHOT} should hold:\n\n{found}");
}

#[test]
fn nothing_is_allowed_everywhere() {
    for ((who, resource), actions) in policies() {
        for action in actions {
            assert!(!action.contains('*'), "{who} may {action}");
            // To deliver logs knows no resource.
            assert!(resource != "*" || action.starts_with("logs:"), "{who} may {action} everywhere");
        }
    }
}

fn policies() -> Policies {
    let template = template();
    let mut policies = Policies::new();
    for kind in ["AWS::Serverless::Function", "AWS::Serverless::StateMachine", "AWS::IAM::Role"] {
        for (id, resource) in resources(&template, kind) {
            for policy in list(&resource["Properties"]["Policies"]) {
                let document = policy.get("PolicyDocument").unwrap_or(policy);
                for statement in list(&document["Statement"]) {
                    assert_eq!(statement["Effect"], "Allow");
                    add(id, statement, &mut policies);
                }
            }
        }
    }
    policies
}

fn add(who: &str, statement: &Value, policies: &mut Policies) {
    let actions =
        || list(&statement["Action"]).iter().map(|action| action.as_str().expect("an action").to_owned());
    for resource in list(&statement["Resource"]) {
        policies.entry((who.to_owned(), name(resource))).or_default().extend(actions());
    }
}

/// The resource by its logical id; of an ARN in words, what follows the account.
fn name(resource: &Value) -> String {
    if let Some(arn) = resource.get("Fn::Sub").unwrap_or(resource).as_str() {
        return arn
            .rsplit("${AWS::AccountId}:")
            .next()
            .unwrap_or(arn)
            .replace("arn:${AWS::Partition}:s3:::", "");
    }
    let id = resource.get("Ref").or_else(|| resource.pointer("/Fn::GetAtt/0"));
    id.and_then(Value::as_str).expect("a resource").to_owned()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice)
}
