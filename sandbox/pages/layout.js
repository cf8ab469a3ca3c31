// Says, line by line, what of a page that is so many pixels wide cannot be read or hit. It is called with the width and
// whether fingers are to hit what can be clicked.
((width, fingers) => {
  const faults = []
  const say = (what, element) => {
    const text = (element.textContent || element.value || '').trim().replace(/\s+/g, ' ').slice(0, 40)
    faults.push(`${what}: ${element.tagName.toLowerCase()}${element.className ? '.' + element.className : ''} “${text}”`)
  }
  const inView = element => element.checkVisibility({ visibilityProperty: true })
  // What is for screen readers alone is cut to a pixel, and what a key brings up waits beyond the left edge.
  const meantForEyes = element => {
    for (let e = element; e; e = e.parentElement) {
      const style = getComputedStyle(e)
      if (style.clipPath !== 'none' || style.position === 'absolute' && e.getBoundingClientRect().right < 0) return false
    }
    return true
  }
  if (document.scrollingElement.scrollWidth > width) say(`the page is ${document.scrollingElement.scrollWidth} pixels wide`, document.body.querySelector('h1'))

  const boxes = []
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  for (let node; (node = texts.nextNode());) {
    const element = node.parentElement
    if (!node.data.trim() || !inView(element) || !meantForEyes(element) || element.closest('svg, select, datalist')) continue
    const range = document.createRange()
    range.selectNodeContents(node)
    for (const box of range.getClientRects()) {
      if (box.width < 1) continue
      if (box.left < -0.5 || box.right > width + 0.5) say('text beyond the edge', element)
      boxes.push({ element, box })
    }
  }
  // Text over text, in any two boxes that are not in one line of each other.
  boxes.sort((a, b) => a.box.top - b.box.top)
  for (let i = 0; i < boxes.length; i++) {
    for (let j = i + 1; j < boxes.length && boxes[j].box.top < boxes[i].box.bottom - 4; j++) {
      const a = boxes[i].box, b = boxes[j].box
      if (Math.min(a.right, b.right) - Math.max(a.left, b.left) > 2 && Math.min(a.bottom, b.bottom) - b.top > 4) say('text over other text', boxes[j].element)
    }
  }
  for (const element of document.body.querySelectorAll('*')) {
    const inside = element.clientWidth // that of what is inline is 0
    if (!inside || !inView(element) || !meantForEyes(element) || element.closest('svg') || element.tagName === 'INPUT') continue
    if (element.scrollWidth > inside + 1) say(`${element.scrollWidth - inside} pixels more than its box`, element)
    if (element.scrollHeight > element.clientHeight + 4 && getComputedStyle(element).overflowY !== 'visible') say('cut at its foot', element)
  }
  if (fingers) {
    for (const element of document.querySelectorAll('button, input, select, summary')) {
      const box = element.getBoundingClientRect()
      if (inView(element) && (box.width < 24 || box.height < 24)) say(`${Math.round(box.width)} by ${Math.round(box.height)} pixels to hit`, element)
    }
  }
  return [...new Set(faults)].slice(0, 20)
})
