//! The response statuses after which a delivery is not retried, as a client lists them.

/// Maximum number of statuses that a destination may list.
const MAX_STATUSES: usize = 64;
/// The statuses that may be listed: a 2xx is a delivery.
const LISTABLE: std::ops::RangeInclusive<i64> = 300..=599;
/// The status by which a destination asks for a delay.
const TOO_MANY_REQUESTS: i64 = 429;

/// A fault of a list: the place in it, the rule, and the rule in a sentence.
type ListFault = (String, &'static str, String);

/// The statuses of a list, each once and in order, and the faults of the list.
pub(super) fn read(given: Vec<i64>) -> (Vec<u16>, Vec<ListFault>) {
    let (mut read, mut wrong) = (Vec::new(), Vec::new());
    if given.len() > MAX_STATUSES {
        wrong.push((String::new(), "maxItems", format!("has more than {MAX_STATUSES} statuses")));
    }
    for (index, status) in given.into_iter().enumerate() {
        let listed = u16::try_from(status).ok().filter(|_| LISTABLE.contains(&status));
        let message = match listed {
            Some(_) if status == TOO_MANY_REQUESTS => {
                "is 429, by which a destination asks for time, and ends nothing"
            }
            Some(status) => {
                read.push(status);
                continue;
            }
            None => "is not a status from 300 to 599",
        };
        wrong.push((format!("/{index}"), "range", message.to_owned()));
    }
    read.sort_unstable();
    read.dedup();
    (read, wrong)
}

#[cfg(test)]
mod tests {
    use super::read;

    #[track_caller]
    fn check(given: &[i64], expected: &[u16], places: &[&str]) {
        let (statuses, wrong) = read(given.to_vec());
        let found: Vec<&str> = wrong.iter().map(|(place, ..)| place.as_str()).collect();
        assert_eq!((statuses.as_slice(), found.as_slice()), (expected, places), "{given:?}");
    }

    #[test]
    fn a_list_holds_statuses_of_failures() {
        check(&[], &[], &[]);
        check(&[422, 400, 503, 302, 400], &[302, 400, 422, 503], &[]);
        check(&[299, 300, 599, 600], &[300, 599], &["/0", "/3"]);
        check(&[200, 429, -1, 65_936, 404], &[404], &["/0", "/1", "/2", "/3"]);
        check(&[404; 64], &[404], &[]);
        check(&[404; 65], &[404], &[""]);
    }
}
