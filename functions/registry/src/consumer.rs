//! The functions that a queue feeds. No machine names them: an event source mapping calls them with messages, and
//! they say which of those are not done.

kernel::names! {
    /// Every function that a queue feeds.
    pub enum Consumer, a "Function" {
        /// Takes events from their queue through the flow.
        ConsumeEvents = "ConsumeEvents",
        /// Sends what is due in the lanes of destinations.
        DeliverEvents = "DeliverEvents",
    }
}

impl Consumer {
    /// The consumer with a name: its own, or that of its resource in the template.
    pub fn from_name(name: &str) -> Option<Self> {
        let name = name.strip_suffix("Function").unwrap_or(name);
        Self::ALL.into_iter().find(|consumer| consumer.name() == name)
    }

    /// Whether messages are best worked on in the order in which they came: a host that can then calls it with one
    /// batch after the other, however many the mapping allows at once.
    pub fn keeps_order(self) -> bool {
        match self {
            Self::ConsumeEvents => true,
            // A message only says where to look.
            Self::DeliverEvents => false,
        }
    }
}
