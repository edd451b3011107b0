// Package profile reads Nix: store paths, what is known of them, profiles, and closures.
//
// It says what a store is ([Store]) and what can be asked of any, or of several one behind the other ([Chain]):
// which store object a profile leads to ([Resolve]), which ones a name or a part of one means ([Find]),
// and what an object needs ([FindClosure]).
// A closure is also a graph ([Graph]), which knows why something is in it and what would leave with it;
// two of them are compared by package and version ([Diff]).
//
// Of the packages below it, localstore, exportstore, tarstore and binarycache are the stores themselves,
// and source tells by looking which one something is.
// references and scan know what such a store does not say of its objects, and trust which to believe in.
// nar, decompress, input and spool are what they are read with.
// nixdb and sbom write what is known of a closure: as Nix's own database, and for those who want a list.
// storetest holds the contract of all stores.
//
// Only the store directory /nix/store is supported.
// It is part of every store path and of the bytes of the programs,
// so a store that lies elsewhere on disk (relocated) still names its objects /nix/store/….
// A store whose objects are named otherwise is refused by name.
package profile
