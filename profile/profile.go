// Package profile reads stores of Nix and Guix: store paths, their metadata, profiles and closures.
//
// A [Store] gives access to store objects, and [Chain] joins several stores.
// [Resolve] finds the store object that a profile leads to, [FindClosure] everything that it needs,
// and [Find] the objects that a name means.
// A [Graph] of a closure explains why it holds an object, and what would leave with it.
// [Diff] compares two closures by package and version.
//
// The packages below this one are:
//
//   - localstore, exportstore, tarstore and binarycache, the kinds of stores; source recognises them.
//   - references and scan, which add the references of objects if a store does not record them.
//   - trust, which decides which objects are trusted.
//   - nar, sqlite and nix32, the formats of Nix.
//   - input and decompress, which read a store in a single file.
//   - nixdb and sbom, which write a closure as the database of Nix or Guix and as a bill of materials.
//   - storetest, which tests that a store keeps its contract.
//
// A store has one store directory, such as /nix/store or /gnu/store; see [StoreDir]. It is part of every store path
// and of the bytes of programs, so a store elsewhere on disk (a relocated store) still names its objects /nix/store/….
// An object or a reference in another store directory is an error that names both.
package profile
