//! The guests' allocator.
//!
//! An instance serves one hook and is thrown away, so giving memory back is hardly worth
//! anything, and touching a new page is what costs. Memory is taken in order from what the
//! module was linked with, and from the host only when that is used up. The block that was
//! taken last can grow, shrink and be given back, which is what growing strings do.

use std::{
    alloc::{GlobalAlloc, Layout},
    arch::wasm32::{memory_grow, memory_size},
    cell::Cell,
    ptr,
};

const PAGE: usize = 64 << 10;
/// At least this many pages at once: each request to the host changes a memory mapping.
const STEP: usize = 16;

unsafe extern "C" {
    /// Set by the linker to the first byte after stack and data.
    static __heap_base: u8;
}

struct Arena {
    next: Cell<usize>,
    end: Cell<usize>,
}

// SAFETY: a component instance has exactly one thread.
unsafe impl Sync for Arena {}

#[global_allocator]
static ARENA: Arena = Arena { next: Cell::new(0), end: Cell::new(0) };

impl Arena {
    /// Makes sure that `end` bytes of memory exist.
    fn reach(&self, end: usize) -> bool {
        if self.end.get() == 0 {
            self.end.set(memory_size(0) * PAGE);
        }
        let Some(missing) = end.checked_sub(self.end.get()).filter(|missing| *missing > 0) else {
            return true;
        };
        let needed = missing.div_ceil(PAGE);
        let pages = needed.max(STEP);
        if memory_grow(0, pages) == usize::MAX {
            return false;
        }
        self.end.set(memory_size(0) * PAGE);
        true
    }

    fn is_last(&self, block: *mut u8, size: usize) -> bool {
        block as usize + size == self.next.get()
    }
}

// SAFETY: blocks are disjoint parts of the memory above `__heap_base`, which nothing else
// uses, aligned as asked for, and never handed out again while they are held.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let start = match self.next.get() {
            0 => (&raw const __heap_base) as usize,
            next => next,
        };
        let Some(block) = start.checked_next_multiple_of(layout.align()) else {
            return ptr::null_mut();
        };
        let Some(end) = block.checked_add(layout.size()) else { return ptr::null_mut() };
        if !self.reach(end) {
            return ptr::null_mut();
        }
        self.next.set(end);
        ptr::with_exposed_provenance_mut(block)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if self.is_last(block, layout.size()) {
            self.next.set(block as usize);
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if self.is_last(block, layout.size()) {
            let end = (block as usize).checked_add(size).filter(|end| self.reach(*end));
            let Some(end) = end else { return ptr::null_mut() };
            self.next.set(end);
            return block;
        }
        if size <= layout.size() {
            return block;
        }
        // SAFETY: the caller has checked size and alignment; see `GlobalAlloc::realloc`.
        let new = unsafe { self.alloc(Layout::from_size_align_unchecked(size, layout.align())) };
        if !new.is_null() {
            // SAFETY: both blocks are at least as long as the old one, and they are disjoint.
            unsafe { ptr::copy_nonoverlapping(block, new, layout.size()) };
        }
        new
    }
}
