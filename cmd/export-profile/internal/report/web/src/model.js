// The data that export-profile writes into the page, and facts that follow from it.

// maxElements limits how many objects a chart, and the table at first, shows as elements of their own. Browsers become slow with many.
export const maxElements = 500

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
  direct: 'the profile refers to it',
  one: 'only one package brings it in',
  shared: 'several packages share it',
  other: 'not from the store',
}

// read makes objects of the columns. An object has its index i, path, name, kind, layer, new and three sizes, and these fields:
// references, and users, which refer to the object;
// before and next, its neighbours on the shortest chains from the profile;
// dominator, and dominates, the objects that would leave with it.
export function read(data) {
  const { path, names, size, closure, exclusive, layer } = data.objects
  const objects = path.map((path, i) => ({
    i, path, name: names[i] ?? path.slice(33), size: size[i], closure: closure[i], exclusive: exclusive[i], layer: layer[i],
    new: false, kind: '', references: [], users: [], before: null, next: [], dominator: null, dominates: [],
  }))
  const next = numbers(data.objects.references)
  for (const o of objects) {
    for (let left = next(), i = 0; left > 0; left--) {
      i += next()
      o.references.push(objects[i])
      objects[i].users.push(o)
    }
    o.before = objects[data.objects.before[o.i]] ?? null // -1 is no object
    o.before?.next.push(o)
    o.dominator = objects[data.objects.dominator[o.i]] ?? null
    o.dominator?.dominates.push(o)
  }
  for (const i of data.objects.new) objects[i].new = true
  const roots = data.roots.map(i => objects[i])
  for (const o of objects) {
    if (roots.includes(o)) o.kind = 'root'
    else if (roots.includes(o.before)) o.kind = 'direct'
    else if (o.dominator && !roots.includes(o.dominator)) o.kind = 'one'
    else o.kind = 'shared'
  }
  return { storeDir: '/nix/store', ...data, objects, roots, total: objects.reduce((sum, o) => sum + o.size, 0) }
}

// numbers returns a function that reads the next number of a text: base64 of numbers of seven bits a byte, the lowest first.
function numbers(text) {
  const bytes = atob(text)
  let at = 0
  return () => {
    for (let n = 0, shift = 1; ; shift *= 128) {
      const byte = bytes.charCodeAt(at++)
      n += (byte & 127) * shift
      if (byte < 128) return n
    }
  }
}

// bySize sorts objects, the largest first.
export const bySize = (a, b) => b.size - a.size || a.i - b.i

// chain returns the shortest chain from the profile to an object, both included.
export function chain(o) {
  const all = [o]
  while (all.at(-1).before) all.push(all.at(-1).before)
  return all.reverse()
}

// leaving returns the objects that would leave with an object, itself included, the largest first.
export function leaving(o) {
  const all = [o]
  for (let i = 0; i < all.length; i++) for (const d of all[i].dominates) all.push(d)
  return all.sort(bySize)
}

// share formats bytes as a percentage of the whole image.
export function share(model, bytes) {
  return model.total ? `${(100 * bytes / model.total).toFixed(1)} %` : ''
}
