package bench

const reasons = `
`
