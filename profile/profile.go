// Package profile reads Nix: store paths, what is known of them, profiles, and closures.
//
// It says what a store is ([Store]) and what can be asked of any:
// which store object a profile leads to ([Resolve])
// and what that object needs ([FindClosure]).
// The packages below it are the stores themselves:
// a live or relocated store with its database, an export stream, …;
// profile/source tells them apart by looking.
//
// Only the store directory /nix/store is supported.
// It is part of every store path and of the bytes of the programs,
// so a store that lies elsewhere on disk (relocated) still names its objects /nix/store/….
// A store whose objects are named otherwise is refused by name.
package profile
