// Package interop holds no code: its tests run the built server against real
// clients that know nothing of it, pidgin-sipe, baresip, linphone and SIPp, each
// flow with a server of its own on a loopback address of its own, so that all run
// side by side. The programs they need are installed when the tests run as root.
package interop
