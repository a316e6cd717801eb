// Mooring's windows on the desktop of DSM 7: frames around its page.
// The desktop loads this into itself, so it only defines what is Mooring's.

Ext.namespace("SYNO.SDS.Mooring");

// The token and the language go behind the #, which no server gets to see or log. Without them the
// page asks DSM for the token and the browser for the language.
SYNO.SDS.Mooring.address = function (view) {
  var told = function (key) {
    try {
      return encodeURIComponent(_S(key) || "");
    } catch (error) {
      return "";
    }
  };
  return "webman/3rdparty/mooring/index.html?VERSION#" + view + "SynoToken=" + told("SynoToken") + "&lang=" + told("lang");
};

// A window with the page in it, of this size at first and no smaller than that.
SYNO.SDS.Mooring.around = function (view, size, least) {
  return {
    extend: "SYNO.SDS.AppWindow",
    constructor: function (config) {
      var frame = {
        tag: "iframe",
        title: "Mooring",
        src: SYNO.SDS.Mooring.address(view),
        style: "border:0;width:100%;height:100%",
      };
      var own = {
        layout: "fit",
        resizable: true,
        maximizable: true,
        minimizable: true,
        width: size[0],
        height: size[1],
        minWidth: least[0],
        minHeight: least[1],
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
  };
};

Ext.define("SYNO.SDS.Mooring.Application", {
  extend: "SYNO.SDS.AppInstance",
  appWindowName: "SYNO.SDS.Mooring.MainWindow",
  constructor: function () {
    this.callParent(arguments);
  },
});

Ext.define("SYNO.SDS.Mooring.MainWindow", SYNO.SDS.Mooring.around("", [920, 640], [360, 320]));

Ext.define("SYNO.SDS.Mooring.Tray", {
  extend: "SYNO.SDS.AppInstance",
  appWindowName: "SYNO.SDS.Mooring.TrayWindow",
  constructor: function () {
    this.callParent(arguments);
  },
});

Ext.define("SYNO.SDS.Mooring.TrayWindow", SYNO.SDS.Mooring.around("small&", [360, 420], [280, 200]));
