//! Map a table, check it and let go of it again, so many times; 0: all went well.

use std::ffi::{c_char, CStr};

use quotegrid::{Check, Table};

/// # Safety
/// `path` is a string that ends with a zero, of a file that nobody changes in place.
#[no_mangle]
pub unsafe extern "C" fn load(path: *const c_char, header_alone: i32, times: i32) -> i32 {
    let path = CStr::from_ptr(path).to_str().expect("a path in UTF-8");
    let check = if header_alone != 0 { Check::Header } else { Check::All };
    i32::from(!(0..times).all(|_| Table::map(path, check).is_ok()))
}
