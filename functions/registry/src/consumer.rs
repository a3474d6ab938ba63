//! The functions that a queue feeds. No machine names them: an event source mapping calls them with messages, and
//! they say which of those are not done.

/// Every function that a queue feeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Consumer {
    /// Takes events from their queue through the flow.
    ConsumeEvents,
    /// Sends what is due in the lanes of destinations.
    DeliverEvents,
}

impl Consumer {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::ConsumeEvents, Self::DeliverEvents];

    /// The name. The template's resource is this with `Function` behind it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ConsumeEvents => "ConsumeEvents",
            Self::DeliverEvents => "DeliverEvents",
        }
    }

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
