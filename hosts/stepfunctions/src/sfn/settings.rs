//! The settings of a machine beyond its definition: logging, tracing, encryption.

use serde_json::{Map, Value as Json, json};

use super::{
    error::{Error, Kind},
    validate::Fields,
};

/// The settings of a request; omitted ones do not change.
#[derive(Debug, Default)]
pub(super) struct Settings {
    logging: Option<Logging>,
    tracing: Option<bool>,
    encryption: Option<String>,
}

#[derive(Debug, Default)]
struct Logging {
    level: Option<String>,
    include_data: Option<bool>,
    destinations: Vec<Option<String>>,
}

impl Settings {
    pub(super) fn read(fields: &mut Fields) -> Self {
        let logging = fields.structure("loggingConfiguration", |fields| Logging {
            level: fields.word("level", &["ALL", "ERROR", "FATAL", "OFF"]),
            include_data: fields.flag("includeExecutionData"),
            destinations: fields.structures("destinations", destination).unwrap_or_default(),
        });
        let tracing = fields.structure("tracingConfiguration", |fields| fields.flag("enabled"));
        let encryption = fields.structure("encryptionConfiguration", |fields| {
            fields.text("kmsKeyId", 1..=2048);
            fields.number("kmsDataKeyReusePeriodSeconds", 60..=900);
            let kind = fields.word("type", &["AWS_OWNED_KEY", "CUSTOMER_MANAGED_KMS_KEY"]);
            if kind.is_none() {
                fields.missing("type");
            }
            kind.unwrap_or_default()
        });
        Self { logging, tracing: tracing.flatten(), encryption }
    }

    /// Whether a request changes nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.logging.is_none() && self.tracing.is_none() && self.encryption.is_none()
    }

    /// Refuses what this host cannot honour: it has no log groups and no keys.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.encryption.as_deref() == Some("CUSTOMER_MANAGED_KMS_KEY") {
            let why = "Invalid Encryption Configuration: this host has no customer managed keys";
            return Err(Error::new(Kind::InvalidEncryptionConfiguration, why));
        }
        match &self.logging {
            Some(logging) if logging.is_on() && logging.destinations.len() != 1 => {
                Err(Error::logging("Must specify exactly one Log Destination."))
            }
            Some(logging) if logging.is_on() => Err(Error::logging("Log Destination not found.")),
            _ => Ok(()),
        }
    }

    /// Merges these into the stored settings.
    pub(super) fn over(&self, before: &str) -> String {
        let mut kept: Map<String, Json> = serde_json::from_str(before).unwrap_or_default();
        if let Some(logging) = &self.logging {
            kept.insert("loggingConfiguration".into(), logging.json());
        }
        if let Some(enabled) = self.tracing {
            kept.insert("tracingConfiguration".into(), json!({ "enabled": enabled }));
        }
        Json::Object(kept).to_string()
    }
}

impl Logging {
    fn is_on(&self) -> bool {
        self.level.as_deref().is_some_and(|level| level != "OFF")
    }

    fn json(&self) -> Json {
        let destinations = self.destinations.iter();
        let destinations =
            destinations.map(|arn| json!({ "cloudWatchLogsLogGroup": { "logGroupArn": arn } }));
        let mut json = json!({
            "level": self.level.as_deref().unwrap_or("OFF"),
            "includeExecutionData": self.include_data.unwrap_or_default(),
        });
        if !self.destinations.is_empty() {
            json["destinations"] = destinations.collect();
        }
        json
    }
}

fn destination(fields: &mut Fields) -> Option<String> {
    let read = |fields: &mut Fields| fields.text("logGroupArn", 1..=256);
    fields.structure("cloudWatchLogsLogGroup", read).flatten()
}

/// Stored settings, as a description of the machine has them.
pub(super) fn described(kept: &str) -> Map<String, Json> {
    let mut described: Map<String, Json> = serde_json::from_str(kept).unwrap_or_default();
    let usual = [
        ("loggingConfiguration", json!({ "level": "OFF", "includeExecutionData": false })),
        ("tracingConfiguration", json!({ "enabled": false })),
        ("encryptionConfiguration", json!({ "type": "AWS_OWNED_KEY" })),
    ];
    for (name, value) in usual {
        described.entry(name).or_insert(value);
    }
    described
}
