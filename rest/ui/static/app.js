// The charts of a connector's page: read from data-src, and again every five seconds
// while the page is looked at.
(function () {
  'use strict';
  function colour(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }
  function axes() {
    var a = { stroke: colour('--dim'), grid: { stroke: colour('--line'), width: 1 }, ticks: { stroke: colour('--line'), width: 1 } };
    var times = { space: 70, incrs: [5, 10, 30, 60, 120, 300, 600, 1800], values: function (u, at) { return at.map(clock); } };
    return [Object.assign(times, a), Object.assign({ size: 60 }, a)];
  }
  // Times are UTC, as everywhere on the page.
  function clock(at) { return at == null ? '--' : new Date(1000 * at).toISOString().slice(11, 19); }
  function time() { return { label: 'UTC', value: function (u, at) { return clock(at); } }; }
  function line(label, stroke) { return { label: label, stroke: stroke, width: 2, spanGaps: true, points: { show: false } }; }
  var kinds = {
    rate: { series: function () { return [time(), line('records/s', colour('--accent'))]; }, pick: function (d) { return [d[0], d[1]]; } },
    lag: { series: function () { return [time(), line('p50', colour('--accent')), line('p99', colour('--warn'))]; }, pick: function (d) { return [d[0], d[2], d[3]]; } }
  };
  function start() {
    var box = document.querySelector('.charts');
    if (!box || !window.uPlot) { return; }
    var charts = [];
    function load() {
      if (document.hidden) { return; }
      fetch(box.dataset.src, { headers: { Accept: 'application/json' } }).then(function (r) { return r.json(); }).then(function (d) {
        if (charts.length === 0) {
          box.querySelectorAll('.chart').forEach(function (el) {
            var k = kinds[el.dataset.series];
            charts.push({ k: k, el: el, u: new uPlot({ width: el.clientWidth || 400, height: 200, padding: [null, 30, null, null], series: k.series(), axes: axes(), cursor: { drag: { x: false, y: false } } }, k.pick(d), el) });
          });
        } else {
          charts.forEach(function (c) { c.u.setData(c.k.pick(d)); });
        }
      }).catch(function () { /* the worker is away; the next try will tell */ });
    }
    window.addEventListener('resize', function () { charts.forEach(function (c) { c.u.setSize({ width: c.el.clientWidth, height: 200 }); }); });
    load();
    setInterval(load, 5000);
  }
  // What is open stays open when news come: the server does not know of it.
  if (window.Idiomorph) {
    Idiomorph.defaults.callbacks.beforeAttributeUpdated = function (name, node) { return !(name === 'open' && node.tagName === 'DETAILS'); };
  }
  // A page whose worker does not answer says so.
  function away(yes) { var el = document.getElementById('away'); if (el) { el.hidden = !yes; } }
  document.addEventListener('htmx:sseError', function () { away(true); });
  document.addEventListener('htmx:sseOpen', function () { away(false); });
  document.addEventListener('htmx:sendError', function () { away(true); });
  // Refused requests (the token of an earlier start, read-only mode) are shown where the answer would be.
  document.addEventListener('htmx:responseError', function (e) {
    var said = document.createElement('div');
    said.className = 'error';
    said.setAttribute('role', 'alert');
    said.textContent = e.detail.xhr.responseText || ('The worker answered ' + e.detail.xhr.status + '.');
    if (e.detail.target) { e.detail.target.replaceChildren(said); }
  });
  document.addEventListener('DOMContentLoaded', start);
})();
