//! How many connections and requests there may be, of one client and in all.
//!
//! The rule that keeps one client from shutting out the others: when there is no room, a connection
//! without a request gives way, of the client that has most of them, the longest idle first. Only
//! where every connection has a request in flight is a newcomer refused; and a client alone gets
//! half of what there is. Behind a trusted proxy many clients may be one address: it has no share
//! of its own.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use super::activity::Activity;

/// A client as far as it is told apart from others: an IPv4 address, or an IPv6 network of 64 bits,
/// which is what one customer has at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ClientKey(IpAddr);

impl ClientKey {
    pub(crate) fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => {
                let network = address.to_bits() & !u128::from(u64::MAX);
                IpAddr::V6(Ipv6Addr::from_bits(network))
            }
            address => address,
        })
    }

    /// The same as a number.
    pub(crate) fn number(self) -> u128 {
        match self.0 {
            IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
            IpAddr::V6(network) => network.to_bits(),
        }
    }
}

/// Counts by client and in all.
#[derive(Debug)]
struct Tally {
    by_client: HashMap<ClientKey, usize>,
    total: usize,
}

impl Tally {
    fn new() -> Self {
        Self {
            by_client: HashMap::new(),
            total: 0,
        }
    }

    fn of(&self, client: ClientKey) -> usize {
        self.by_client.get(&client).copied().unwrap_or(0)
    }

    fn add(&mut self, client: Option<ClientKey>) {
        self.total += 1;
        if let Some(client) = client {
            *self.by_client.entry(client).or_insert(0) += 1;
        }
    }

    fn remove(&mut self, client: Option<ClientKey>) {
        self.total -= 1;
        let Some(client) = client else {
            return;
        };
        if let Some(count) = self.by_client.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                self.by_client.remove(&client);
            }
        }
    }
}

/// The requests in flight.
#[derive(Debug)]
pub(super) struct Requests {
    max: usize,
    tally: Mutex<Tally>,
}

/// A request's place. Given back when dropped.
#[derive(Debug)]
pub(super) struct RequestPlace {
    requests: Arc<Requests>,
    client: Option<ClientKey>,
}

impl Requests {
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            max,
            tally: Mutex::new(Tally::new()),
        })
    }

    /// A place, if there is one. `client`: `None` for one that has no share of its own.
    pub(super) fn enter(self: &Arc<Self>, client: Option<ClientKey>) -> Option<RequestPlace> {
        let mut tally = self.tally();
        let too_many_of_it =
            client.is_some_and(|client| tally.of(client) >= share_of_one(self.max));
        if tally.total >= self.max || too_many_of_it {
            return None;
        }
        tally.add(client);
        Some(RequestPlace {
            requests: Arc::clone(self),
            client,
        })
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for RequestPlace {
    fn drop(&mut self) {
        self.requests.tally().remove(self.client);
    }
}

/// The open connections.
#[derive(Debug)]
pub(super) struct Connections {
    max: usize,
    table: Mutex<Table>,
}

#[derive(Debug)]
struct Table {
    tally: Tally,
    open: HashMap<u64, Open>,
    next_id: u64,
}

#[derive(Debug)]
struct Open {
    client: Option<ClientKey>,
    activity: Arc<Activity>,
    give_way: CancellationToken,
}

/// A connection's place. Given back when dropped.
#[derive(Debug)]
pub(super) struct ConnectionPlace {
    connections: Arc<Connections>,
    id: u64,
    give_way: CancellationToken,
}

impl Connections {
    pub(super) fn new(max: usize) -> Arc<Self> {
        let table = Table {
            tally: Tally::new(),
            open: HashMap::new(),
            next_id: 0,
        };
        Arc::new(Self {
            max,
            table: Mutex::new(table),
        })
    }

    /// A place, taken from a connection without a request if there is no free one.
    pub(super) fn enter(
        self: &Arc<Self>,
        client: Option<ClientKey>,
        activity: &Arc<Activity>,
    ) -> Option<ConnectionPlace> {
        let mut table = self.table();
        if !table.make_room(client, self.max) {
            return None;
        }
        let id = table.next_id;
        table.next_id += 1;
        let give_way = CancellationToken::new();
        table.tally.add(client);
        table.open.insert(
            id,
            Open {
                client,
                activity: Arc::clone(activity),
                give_way: give_way.clone(),
            },
        );
        Some(ConnectionPlace {
            connections: Arc::clone(self),
            id,
            give_way,
        })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn make_room(&mut self, newcomer: Option<ClientKey>, max: usize) -> bool {
        let share_is_full =
            newcomer.is_some_and(|client| self.tally.of(client) >= share_of_one(max));
        let victim = if share_is_full {
            self.most_idle(|open| open.client == newcomer)
        } else if self.tally.total >= max {
            self.most_idle(|_| true)
        } else {
            return true;
        };
        match victim {
            Some(id) => {
                self.remove(id);
                true
            }
            None => false,
        }
    }

    /// Of the client with most connections, the one that has been without a request for longest.
    fn most_idle(&self, wanted: impl Fn(&Open) -> bool) -> Option<u64> {
        self.open
            .iter()
            .filter(|(_, open)| wanted(open))
            .filter_map(|(id, open)| {
                let idle = open.activity.idle_for()?;
                let crowd = open.client.map_or(0, |client| self.tally.of(client));
                Some((crowd, idle, *id))
            })
            .max()
            .map(|(_, _, id)| id)
    }

    fn remove(&mut self, id: u64) {
        if let Some(open) = self.open.remove(&id) {
            self.tally.remove(open.client);
            open.give_way.cancel();
        }
    }
}

impl ConnectionPlace {
    /// Ready when another connection needs the place: it is not ours any more.
    pub(super) async fn taken(&self) {
        self.give_way.cancelled().await;
    }
}

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        self.connections.table().remove(self.id);
    }
}

/// What one client gets of what there is.
const fn share_of_one(max: usize) -> usize {
    max.div_ceil(2)
}

#[cfg(test)]
mod tests {
    use http::Version;

    use super::*;

    fn client(text: &str) -> ClientKey {
        ClientKey::of(text.parse().unwrap())
    }

    fn idle() -> Arc<Activity> {
        Arc::new(Activity::new())
    }

    fn busy() -> Arc<Activity> {
        let activity = idle();
        activity.request_began(Version::HTTP_11);
        activity
    }

    fn is_taken(place: &ConnectionPlace) -> bool {
        place.give_way.is_cancelled()
    }

    #[test]
    fn a_client_is_an_address_or_the_network_of_a_household() {
        assert_eq!(client("192.0.2.1"), client("::ffff:192.0.2.1"));
        assert_ne!(client("192.0.2.1"), client("192.0.2.2"));
        assert_eq!(client("2001:db8:0:1::1"), client("2001:db8:0:1:ffff::9"));
        assert_ne!(client("2001:db8:0:1::1"), client("2001:db8:0:2::1"));
    }

    #[test]
    fn one_client_gets_half_of_the_requests_and_all_get_all() {
        let requests = Requests::new(4);
        let (a, b, c) = (client("1.1.1.1"), client("2.2.2.2"), client("3.3.3.3"));
        let first = requests.enter(Some(a)).unwrap();
        let _second = requests.enter(Some(a)).unwrap();
        assert!(requests.enter(Some(a)).is_none(), "a has its half");
        let _b = requests.enter(Some(b)).unwrap();
        let _proxy = requests.enter(None).unwrap();
        assert!(requests.enter(Some(c)).is_none(), "all are taken");
        assert!(requests.enter(None).is_none(), "all are taken");
        drop(first);
        let _third = requests.enter(Some(c)).unwrap();
        assert_eq!(requests.tally().total, 4);
    }

    #[test]
    fn what_was_given_back_leaves_no_trace() {
        let requests = Requests::new(2);
        drop(requests.enter(Some(client("1.1.1.1"))).unwrap());
        drop(requests.enter(None).unwrap());
        let tally = requests.tally();
        assert!(tally.by_client.is_empty() && tally.total == 0);
    }

    #[test]
    fn an_idle_connection_of_the_largest_crowd_gives_way() {
        let connections = Connections::new(4);
        let (a, b, c) = (client("1.1.1.1"), client("2.2.2.2"), client("3.3.3.3"));
        let lone = connections.enter(Some(b), &idle()).unwrap();
        let old = connections.enter(Some(a), &idle()).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(5));
        let young = connections.enter(Some(a), &idle()).unwrap();
        let _c = connections.enter(Some(c), &idle()).unwrap();
        let _newcomer = connections.enter(Some(c), &idle()).unwrap();
        assert!(is_taken(&old), "the longest idle of two");
        assert!(!is_taken(&young) && !is_taken(&lone));
        drop(old);
        assert_eq!(connections.table().tally.total, 4, "given back once");
    }

    #[test]
    fn a_client_beyond_its_share_displaces_itself_alone() {
        let connections = Connections::new(4);
        let (a, b) = (client("1.1.1.1"), client("2.2.2.2"));
        let first = connections.enter(Some(a), &idle()).unwrap();
        let _second = connections.enter(Some(a), &busy()).unwrap();
        let lone = connections.enter(Some(b), &idle()).unwrap();
        let _third = connections.enter(Some(a), &busy()).unwrap();
        assert!(is_taken(&first) && !is_taken(&lone));
        assert!(
            connections.enter(Some(a), &idle()).is_none(),
            "both of its places have requests"
        );
        assert!(connections.enter(Some(b), &idle()).is_some());
    }

    #[test]
    fn where_all_have_requests_a_newcomer_is_refused() {
        let connections = Connections::new(2);
        let _one = connections.enter(Some(client("1.1.1.1")), &busy()).unwrap();
        let two = connections.enter(None, &busy()).unwrap();
        assert!(
            connections
                .enter(Some(client("3.3.3.3")), &idle())
                .is_none()
        );
        drop(two);
        assert!(
            connections
                .enter(Some(client("3.3.3.3")), &idle())
                .is_some()
        );
        assert!(
            connections.table().open.len() == 1,
            "places not kept are free"
        );
    }
}
