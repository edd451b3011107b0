// What the page is about: the data that export-profile has put into it, and what follows from them.

const units = ['KiB', 'MiB', 'GiB', 'TiB']

// size is as export-profile prints it: at least in KiB.
export function size(bytes) {
  let x = bytes / 1024, unit = 0
  while (x >= 1024 && unit < units.length - 1) {
    x /= 1024
    unit++
  }
  return `${x.toFixed(1)} ${units[unit]}`
}

export function count(n, noun) {
  return `${n} ${noun}${n === 1 ? '' : 's'}`
}

// kinds are how objects come in. They have colours, and their names in words wherever these are.
export const kinds = {
  root: 'the profile itself',
  direct: 'the profile names it',
  one: 'only one package brings it in',
  shared: 'several packages share it',
  other: 'not from the store',
}

// read gives each object its number and the objects around it instead of their numbers:
// references, users (whose references it is), before and next (on the shortest chains from the profile),
// dominator and dominates (which leave with it).
export function read(data) {
  const { objects } = data
  objects.forEach((o, i) => Object.assign(o, { i, users: [], next: [], dominates: [] }))
  for (const o of objects) {
    o.references = o.references.map(i => objects[i])
    for (const r of o.references) r.users.push(o)
    o.before = o.before < 0 ? null : objects[o.before]
    o.before?.next.push(o)
    o.dominator = o.dominator < 0 ? null : objects[o.dominator]
    o.dominator?.dominates.push(o)
  }
  const roots = data.roots.map(i => objects[i])
  for (const o of objects) {
    if (roots.includes(o)) o.kind = 'root'
    else if (roots.includes(o.before)) o.kind = 'direct'
    else if (o.dominator && !roots.includes(o.dominator)) o.kind = 'one'
    else o.kind = 'shared'
  }
  return { ...data, roots, total: objects.reduce((sum, o) => sum + o.size, 0) }
}

// chain is the shortest one from the profile to an object, both included.
export function chain(o) {
  const all = [o]
  while (all[0].before) all.unshift(all[0].before)
  return all
}

// leaving is what would leave with an object, itself included, the largest first.
export function leaving(o) {
  const all = [o]
  for (let i = 0; i < all.length; i++) all.push(...all[i].dominates)
  return all.sort((a, b) => b.size - a.size || a.i - b.i)
}

export function share(model, bytes) {
  return model.total ? `${(100 * bytes / model.total).toFixed(1)} %` : ''
}
