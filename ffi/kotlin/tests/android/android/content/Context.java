// A stand-in for the Android SDK's, with what Android.kt uses of it.
package android.content;

import android.content.res.AssetManager;

public abstract class Context {
    public abstract AssetManager getAssets();
}
