//! The functions that a queue feeds. No machine names them: an event source mapping calls them with messages, and they
//! return those that are not done.

kernel::names! {
    /// Every function that a queue feeds.
    pub enum Consumer, a "Function" {
        /// Runs queued events through the flow.
        ConsumeEvents = "ConsumeEvents",
        /// Sends the due deliveries of lanes.
        DeliverEvents = "DeliverEvents",
    }
}

impl Consumer {
    /// The consumer with a name: its own, or that of its resource in the template.
    pub fn from_name(name: &str) -> Option<Self> {
        let name = name.strip_suffix("Function").unwrap_or(name);
        Self::ALL.into_iter().find(|consumer| consumer.name() == name)
    }

    /// Whether messages should be processed in order of arrival. A host that can do so calls it with one batch after
    /// the other, however many the mapping allows at once.
    pub fn keeps_order(self) -> bool {
        match self {
            Self::ConsumeEvents => true,
            // A wake-up only says which lane has work.
            Self::DeliverEvents => false,
        }
    }
}
