//! Panics while a target runs. One in our own code breaks a promise even where somebody catches it, as the server does
//! around requests; one in a dependency does where nobody catches it.

use std::cell::Cell;
use std::panic::{set_hook, take_hook};
use std::path::Path;
use std::sync::{Mutex, Once, PoisonError};

/// Those since the last look, as text with their places.
#[derive(Default)]
pub struct Noted {
    pub all: Vec<String>,
    pub own: Vec<String>,
}

static NOTED: Mutex<Noted> = Mutex::new(Noted { all: Vec::new(), own: Vec::new() });

thread_local! {
    static WATCHED: Cell<bool> = const { Cell::new(false) };
}

/// While it is held, panics of this thread are noted, and told by who watches.
pub struct Watched(());

pub fn watched() -> Watched {
    WATCHED.set(true);
    Watched(())
}

impl Drop for Watched {
    fn drop(&mut self) {
        WATCHED.set(false);
    }
}

/// Takes the place of what is done at a panic. libFuzzer's own way would end the process at once, also where the panic
/// is caught on purpose.
pub fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        drop(take_hook());
        let plain = take_hook();
        set_hook(Box::new(move |panic| {
            // Our crates are compiled by paths within the workspace, all others by absolute ones.
            let own = panic.location().is_some_and(|place| Path::new(place.file()).is_relative());
            let watched = WATCHED.try_with(Cell::get).unwrap_or(false);
            if own || watched {
                let mut noted = NOTED.lock().unwrap_or_else(PoisonError::into_inner);
                noted.all.push(panic.to_string());
                if own {
                    noted.own.push(panic.to_string());
                }
            }
            // A dependency that panics on damaged bytes, thousands of times, would drown everything else.
            if own || !watched {
                plain(panic);
            }
        }));
    });
}

pub fn take() -> Noted {
    std::mem::take(&mut *NOTED.lock().unwrap_or_else(PoisonError::into_inner))
}
