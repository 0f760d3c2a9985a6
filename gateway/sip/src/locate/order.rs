//! The order of SRV records (RFC 2782): by priority, and among equals by chance, in proportion to their weights.

use crate::dns::Service;

/// `chance(most)` draws a number from 0 to `most`.
pub(super) fn ordered(mut services: Vec<Service>, mut chance: impl FnMut(u32) -> u32) -> Vec<Service> {
    // Those without weight first, so that they have a small chance at all.
    services.sort_by_key(|service| (service.priority, service.weight != 0));
    let mut ordered = Vec::with_capacity(services.len());
    while let Some(priority) = services.first().map(|service| service.priority) {
        let equals = services.iter().take_while(|service| service.priority == priority);
        let total = equals.map(|service| u32::from(service.weight)).sum();
        let drawn = chance(total);
        let mut sum = 0;
        let chosen = services.iter().position(|service| {
            sum += u32::from(service.weight);
            sum >= drawn
        });
        ordered.push(services.remove(chosen.unwrap_or_default()));
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(priority: u16, weight: u16, target: &str) -> Service {
        Service {
            priority,
            weight,
            port: 5060,
            target: target.to_owned(),
        }
    }

    fn targets(services: Vec<Service>) -> Vec<String> {
        services.into_iter().map(|service| service.target).collect()
    }

    #[test]
    fn the_lower_priority_comes_first_whatever_the_weights() {
        let services = vec![service(20, 100, "c"), service(10, 0, "a"), service(30, 0, "d")];
        assert_eq!(targets(ordered(services, |most| most)), ["a", "c", "d"]);
    }

    #[test]
    fn equals_are_drawn_in_proportion_to_their_weights_and_none_is_left_out() {
        let services = || vec![service(10, 30, "b"), service(10, 10, "c"), service(10, 0, "a")];
        // The sums: a 0, b 30, c 40.
        for (drawn, first) in [(0, "a"), (1, "b"), (30, "b"), (31, "c"), (40, "c")] {
            let mut draws = vec![0, 0, drawn];
            let order = targets(ordered(services(), |most| {
                draws.pop().unwrap_or_default().min(most)
            }));
            assert_eq!(order.first().map(String::as_str), Some(first), "{drawn}");
            assert_eq!(order.len(), 3, "{order:?}");
        }
        let mut asked = Vec::new();
        ordered(services(), |most| {
            asked.push(most);
            most
        });
        assert_eq!(asked, [40, 30, 0], "the weights of those who are left");
    }
}
