// Package durability holds no code: its tests end the built server with SIGKILL
// again and again while clients change everything they can, and hold what the
// next start finds against what had been acknowledged. docs/durability.md lists
// the promises. A killed process loses what it had in memory and nothing that it
// had handed to the kernel; what a machine without power loses is tested with a
// simulated disk in package replica.
package durability
