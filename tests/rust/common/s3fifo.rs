//! S3-FIFO as its authors simulate it, in plain queues: what the cache's policy is
//! compared with.

use std::collections::{HashMap, HashSet, VecDeque};

/// A cache that holds no values.
pub(crate) struct S3Fifo {
    small: VecDeque<usize>,
    main: VecDeque<usize>,
    /// How often each was used.
    used: HashMap<usize, u8>,
    ghost: VecDeque<usize>,
    remembered: HashSet<usize>,
    capacity: usize,
    was_full: bool,
}

impl S3Fifo {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            small: VecDeque::new(),
            main: VecDeque::new(),
            used: HashMap::new(),
            ghost: VecDeque::new(),
            remembered: HashSet::new(),
            capacity,
            was_full: false,
        }
    }

    /// Uses a key; whether it was there. If not, it is now.
    pub(crate) fn access(&mut self, key: usize) -> bool {
        if let Some(used) = self.used.get_mut(&key) {
            *used = (*used + 1).min(3);
            return true;
        }
        let returns = self.remembered.remove(&key);
        while self.used.len() >= self.capacity {
            self.evict();
        }
        let filling = !self.was_full && self.small.len() >= self.small_share();
        let queue = if returns || filling { &mut self.main } else { &mut self.small };
        queue.push_back(key);
        self.used.insert(key, 0);
        false
    }

    fn small_share(&self) -> usize {
        (self.capacity / 10).max(1)
    }

    fn evict(&mut self) {
        self.was_full = true;
        if self.main.len() > self.capacity - self.small_share() || self.small.is_empty() {
            self.evict_main();
        } else {
            self.evict_small();
        }
    }

    fn evict_small(&mut self) {
        while let Some(key) = self.small.pop_front() {
            if self.used[&key] < 2 {
                self.used.remove(&key);
                return self.remember(key);
            }
            self.used.insert(key, 0);
            self.main.push_back(key);
        }
    }

    fn evict_main(&mut self) {
        while let Some(key) = self.main.pop_front() {
            let used = self.used[&key];
            if used == 0 {
                self.used.remove(&key);
                return;
            }
            self.used.insert(key, used - 1);
            self.main.push_back(key);
        }
    }

    fn remember(&mut self, key: usize) {
        self.remembered.insert(key);
        self.ghost.push_back(key);
        while self.remembered.len() > self.capacity * 9 / 10 {
            let oldest = self.ghost.pop_front().expect("it remembers some");
            self.remembered.remove(&oldest);
        }
    }
}
