// Mooring's window on the desktop of DSM 7: a frame around the page.
// The desktop loads this into itself, so it only defines what is Mooring's.

Ext.namespace("SYNO.SDS.Mooring");

// The token and the language go behind the #, which no server gets to see or log. Without them the
// page asks DSM for the token and the browser for the language.
SYNO.SDS.Mooring.address = function () {
  var told = function (key) {
    try {
      return encodeURIComponent(_S(key) || "");
    } catch (error) {
      return "";
    }
  };
  return "webman/3rdparty/mooring/index.html?VERSION#SynoToken=" + told("SynoToken") + "&lang=" + told("lang");
};

Ext.define("SYNO.SDS.Mooring.Application", {
  extend: "SYNO.SDS.AppInstance",
  appWindowName: "SYNO.SDS.Mooring.MainWindow",
  constructor: function () {
    this.callParent(arguments);
  },
});

Ext.define("SYNO.SDS.Mooring.MainWindow", {
  extend: "SYNO.SDS.AppWindow",
  constructor: function (config) {
    var frame = {
      tag: "iframe",
      title: "Mooring",
      src: SYNO.SDS.Mooring.address(),
      style: "border:0;width:100%;height:100%",
    };
    var own = {
      layout: "fit",
      resizable: true,
      maximizable: true,
      minimizable: true,
      width: 920,
      height: 640,
      minWidth: 360,
      minHeight: 320,
      items: [{ xtype: "box", autoEl: frame }],
    };
    this.appInstance = config.appInstance;
    this.callParent([Ext.apply(own, config)]);
  },
  onClose: function () {
    this.callParent(arguments);
    this.doClose();
    return true;
  },
});
