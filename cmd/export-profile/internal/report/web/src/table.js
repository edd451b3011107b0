// The table of store paths. The page already has it; this code only sorts and filters it.

export function drawTable(table, model, status) {
  const body = table.tBodies[0]
  const rows = [...body.rows].map(row => ({ row, o: model.objects[row.dataset.object] }))
  const values = {
    name: o => o.name, size: o => o.size, closure: o => o.closure, exclusive: o => o.exclusive,
    users: o => o.users.length, layer: o => o.layer,
  }
  const words = new Intl.Collator('en', { numeric: true })
  for (const th of table.tHead.rows[0].cells) {
    const value = values[th.dataset.sort]
    th.querySelector('button').addEventListener('click', () => {
      const text = typeof value(model.objects[0]) === 'string'
      const descending = th.hasAttribute('aria-sort') ? th.getAttribute('aria-sort') === 'ascending' : !text
      for (const other of table.tHead.rows[0].cells) other.removeAttribute('aria-sort')
      th.setAttribute('aria-sort', descending ? 'descending' : 'ascending')
      const sign = descending ? -1 : 1
      rows.sort((a, b) => {
        const [x, y] = [value(a.o), value(b.o)]
        return sign * (text ? words.compare(x, y) : x - y) || a.o.i - b.o.i
      })
      body.append(...rows.map(r => r.row))
      status.textContent = `sorted by ${th.textContent}, ${descending ? 'descending' : 'ascending'}`
    })
  }
  return {
    choose(o) {
      for (const r of rows) r.row.classList.toggle('chosen', r.o === o)
    },
    match(set) {
      for (const r of rows) r.row.hidden = set !== null && !set.has(r.o)
    },
  }
}
