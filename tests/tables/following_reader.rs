//! The Rust reader in the soak test of publishing, and behind ctypes for the test of signatures.

use std::ffi::{c_char, c_int, c_void, CStr};
use std::ptr::null_mut;

use quotegrid::{Corners, FollowError, Follower, Rules, SignedBytes, State, Table, Verdict, Verify};

type CVerify = extern "C" fn(*mut c_void, *const u8, *const u8, *const u8, usize) -> c_int;

type Followed = Follower<Vec<u8>, Table<Vec<u8>>>;

/// Follows in one step; says which generation is held and why not a newer one, in 64 bytes with a zero at the end.
/// `follower` is null before the first generation.
///
/// # Safety
///
/// `folder` is a C string, `said` has 64 bytes, `follower` was set here.
#[no_mangle]
pub unsafe extern "C" fn follow(
    follower: *mut *mut Followed,
    folder: *const c_char,
    verify: Option<CVerify>,
    said: *mut u8,
) {
    // SAFETY: promised by the caller.
    let (folder, held) = unsafe { (CStr::from_ptr(folder).to_str().expect("UTF-8"), (*follower).as_mut()) };
    let text = match held {
        Some(held) => {
            held.refresh();
            let refusal = held.refusal().map_or("taken", FollowError::name);
            format!("{} {refusal}\0", held.held().number)
        }
        None => match Follower::new(folder, verify.map(asked), Ok) {
            Ok(made) => {
                let text = format!("{} taken\0", made.held().number);
                // SAFETY: promised by the caller.
                unsafe { *follower = Box::into_raw(Box::new(made)) };
                text
            }
            Err(error) => format!("0 {}\0", error.name()),
        },
    };
    // SAFETY: promised by the caller; no name is longer.
    unsafe { said.copy_from_nonoverlapping(text.as_ptr(), text.len()) };
}

fn asked(verify: CVerify) -> Box<Verify> {
    Box::new(move |key: &[u8; 32], signature: &[u8; 64], message: &SignedBytes| {
        match verify(null_mut(), key.as_ptr(), signature.as_ptr(), message.as_ptr(), message.len()) {
            1 => Verdict::Fits,
            -1 => Verdict::UnknownKey,
            _ => Verdict::Wrong,
        }
    })
}

/// Looks up at full speed, mapped, until something comes on the standard input: every number of generation n
/// must be n mod 8.
pub fn soak() {
    let folder = std::env::args().nth(1).expect("a folder");
    // SAFETY: publishers change no file in place.
    let mut follower = unsafe { Follower::map(folder, None, Ok) }.expect("a generation");
    let (mut lookups, mut swaps, mut wrong) = (0i64, 0, 0);
    let mut corners = Corners::new();
    let waiting = std::thread::spawn(|| std::io::read_to_string(std::io::stdin()));
    while !waiting.is_finished() {
        swaps += i32::from(follower.refresh());
        if let Some(error) = follower.refusal() {
            eprintln!("{error}");
            std::process::exit(1);
        }
        let generation = follower.held();
        let number = (generation.number % 8) as f64;
        let inventory = [(lookups * 7 % 39 - 19) as f64];
        let state = State { inventory: &inventory, ..State::default() };
        let table = &generation.quoter;
        let quote = table.look_up(Rules::default(), &state, &mut corners).expect("a quote");
        let found = [Some(quote.value()), table.gain(), quote.offset(0), quote.offset(1)];
        wrong += i32::from(found != [Some(number); 4]);
        lookups += 1;
    }
    println!("{{\"lookups\": {lookups}, \"swaps\": {swaps}, \"wrong\": {wrong}}}");
}
