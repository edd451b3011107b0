// The data that export-profile writes into the page, and facts that follow from it.

const units = ['KiB', 'MiB', 'GiB', 'TiB']

// size formats a number of bytes as export-profile does: in KiB or a larger unit.
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

// kinds says in words how an object comes into the image. The charts show each kind in a colour.
export const kinds = {
  root: 'the profile itself',
  direct: 'the profile names it',
  one: 'only one package brings it in',
  shared: 'several packages share it',
  other: 'not from the store',
}

// read adds its index i and its kind to each object, and replaces indexes by objects. Objects get these fields:
// references, and users, which refer to the object;
// before and next, its neighbours on the shortest chains from the profile;
// dominator, and dominates, the objects that would leave with it.
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

// chain returns the shortest chain from the profile to an object, both included.
export function chain(o) {
  const all = [o]
  while (all[0].before) all.unshift(all[0].before)
  return all
}

// leaving returns the objects that would leave with an object, itself included, the largest first.
export function leaving(o) {
  const all = [o]
  for (let i = 0; i < all.length; i++) all.push(...all[i].dominates)
  return all.sort((a, b) => b.size - a.size || a.i - b.i)
}

// share formats bytes as a percentage of the whole image.
export function share(model, bytes) {
  return model.total ? `${(100 * bytes / model.total).toFixed(1)} %` : ''
}
