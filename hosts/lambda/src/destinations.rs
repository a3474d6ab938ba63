//! The permitted addresses of destinations: public ones, and those in the configuration.

use destinations::outbound::{Allowed, Guard};

use crate::config::Config;

/// The configured text is no list of addresses and networks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("ALLOWED_DESTINATIONS cannot be read: {0}")]
pub struct Unreadable(&'static str);

/// The guard of the configuration: addresses and networks separated by commas, or nothing.
pub fn guard(config: &Config) -> Result<Guard, Unreadable> {
    let named = config.allowed_destinations.get().unwrap_or_default();
    let named = named.split(',').map(str::trim).filter(|text| !text.is_empty());
    let allowed = named.map(|text| text.parse::<Allowed>().map_err(Unreadable));
    Ok(Guard::new(allowed.collect::<Result<_, _>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::names;

    #[track_caller]
    fn check(setting: &str, url: &str, permitted: Option<bool>) {
        let config = Config::read(|name| (name == names::ALLOWED_DESTINATIONS).then(|| setting.to_owned()));
        let found = guard(&config).ok().map(|guard| guard.check_url(url).is_ok());
        assert_eq!(found, permitted, "{setting}");
    }

    #[test]
    fn only_named_private_addresses_are_permitted() {
        check("", "https://example.com/", Some(true));
        check("", "http://127.0.0.1:8090/", Some(false));
        check("127.0.0.1:8090", "http://127.0.0.1:8090/", Some(true));
        check("127.0.0.1:8090", "http://127.0.0.1:8091/", Some(false));
        check("10.0.0.0/8, 127.0.0.1:8090,", "http://127.0.0.1:8090/", Some(true));
        check("localhost", "https://example.com/", None);
    }
}
